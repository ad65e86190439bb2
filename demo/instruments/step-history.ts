/**
 * The last steps of the open model, for looking back: what each chose, fetched and evicted, and where its time went. Who
 * was resident after an earlier step follows from who is now, taken back step by step. Plain data, no DOM.
 */
import type { ResidencyLayer, StepEvent } from "../../src/index.ts";
import { Store } from "../store.ts";

/** So many steps are kept: a few lines of text, and no more memory than a picture. */
export const KEPT_STEPS = 240;

export interface History {
  /** The oldest first. */
  readonly steps: readonly StepEvent[];
  /** The step looked at, as an index into `steps`; `null` follows the newest. */
  readonly at: number | null;
}

const EMPTY: History = { steps: [], at: null };

export class StepHistory extends Store<History> {
  constructor() {
    super(EMPTY);
  }

  /** Takes a step. A step that is being looked at stays the one looked at until it is forgotten. */
  add(event: StepEvent): void {
    const { steps, at } = this.value;
    const kept = [...steps.slice(Math.max(0, steps.length + 1 - KEPT_STEPS)), event];
    const gone = steps.length + 1 - kept.length;
    this.set({ steps: kept, at: at === null ? null : Math.max(0, at - gone) });
  }

  /** Looks at step `index`, or follows the newest. */
  lookAt(index: number | null): void {
    const { steps } = this.value;
    const last = steps.length - 1;
    this.set({ steps, at: index === null || index >= last ? null : Math.max(0, index) });
  }

  clear(): void {
    if (this.value.steps.length > 0) this.set(EMPTY);
  }
}

/** Who was resident after step `index` of `steps`, from who is after the last one. */
export function residencyAfter(
  steps: readonly StepEvent[],
  index: number,
  now: readonly ResidencyLayer[],
): ResidencyLayer[] {
  const flags = new Map(now.map(({ layer, resident }) => [layer, [...resident]]));
  for (const { layers } of steps.slice(index + 1).reverse()) {
    for (const { layer, fetched, evicted } of layers) {
      const resident = flags.get(layer);
      if (!resident) continue;
      // An expert may come and go more than once in a step: what counts is the balance.
      const balance = new Map<number, number>();
      for (const expert of fetched) balance.set(expert, (balance.get(expert) ?? 0) + 1);
      for (const expert of evicted) balance.set(expert, (balance.get(expert) ?? 0) - 1);
      for (const [expert, change] of balance) if (change !== 0) resident[expert] = change < 0;
    }
  }
  return [...flags].map(([layer, resident]) => ({ layer, resident }));
}

/** How many experts a step chose, fetched and evicted, over all layers. */
export function countsOf({ layers }: StepEvent): { chosen: number; fetched: number; evicted: number } {
  const sum = (name: "chosen" | "fetched" | "evicted") => layers.reduce((all, layer) => all + layer[name].length, 0);
  return { chosen: sum("chosen"), fetched: sum("fetched"), evicted: sum("evicted") };
}

/** A step in a sentence. */
export function sentenceOf(event: StepEvent): string {
  const { chosen, fetched, evicted } = countsOf(event);
  const what = event.phase === "decode" ? "Token" : `Prompt of ${event.tokens} tokens up to`;
  return `${what} ${event.position + 1}: ${chosen} experts chosen, ${fetched} fetched, ${evicted} evicted.`;
}
