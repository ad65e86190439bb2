/** Guessers for replays: the engine's routing history and what it is measured against. */
import { RoutingHistory } from "./history.ts";
import type { TraceStep } from "./trace-file.ts";

export const PREFETCH_NAMES = ["none", "next-layer-history", "previous-token", "popular", "oracle"] as const;
export type PrefetchName = (typeof PREFETCH_NAMES)[number];

export interface Prefetcher {
  /**
   * Experts that MoE layer `moe` of step `index` is likely to choose, the likeliest first. `before`: what the layer before
   * it chose, or seemed to choose; empty at the first layer.
   */
  guess(index: number, moe: number, before: readonly number[]): readonly number[];
  /** Step `index` is over: it may be learned from. */
  observe(index: number): void;
}

/** A prefetcher for `steps`, of `numExperts` a layer. */
export function createPrefetcher(name: PrefetchName, steps: readonly TraceStep[], numExperts: number): Prefetcher {
  const chosen = (index: number, moe: number): readonly number[] => steps[index]?.experts[moe] ?? [];
  const nothing = { observe: () => undefined };
  switch (name) {
    case "none":
      return { guess: () => [], ...nothing };
    case "oracle":
      return { guess: chosen, ...nothing };
    case "previous-token":
      return { guess: (index, moe) => chosen(index - 1, moe), ...nothing };
    case "popular":
      return mostUsed(steps, numExperts);
    case "next-layer-history":
      return byHistory(steps, numExperts);
  }
}

function byHistory(steps: readonly TraceStep[], numExperts: number): Prefetcher {
  const history = new RoutingHistory((steps[0]?.experts ?? []).map(() => numExperts));
  return {
    guess: (_, moe, before) => (moe === 0 ? [] : history.predict(moe - 1, before, numExperts)),
    observe: (index) => history.observe(steps[index]?.experts ?? []),
  };
}

/** The layer's most used experts so far: what knows nothing but frequency. */
function mostUsed(steps: readonly TraceStep[], numExperts: number): Prefetcher {
  const uses = (steps[0]?.experts ?? []).map(() => new Uint32Array(numExperts));
  const ids = [...Array(numExperts).keys()];
  return {
    guess: (_, moe) => {
      const counts = uses[moe] ?? new Uint32Array(numExperts);
      const used = ids.filter((id) => (counts[id] ?? 0) > 0);
      return used.sort((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0) || a - b);
    },
    observe: (index) =>
      steps[index]?.experts.forEach((event, moe) => {
        const counts = uses[moe];
        for (const id of event) if (counts) counts[id] = (counts[id] ?? 0) + 1;
      }),
  };
}

/**
 * Share of a layer's experts that are among the first `guesses` guesses, over all layers that have one before them.
 * `oracle` is the control: 1 when `guesses` is not below topK.
 */
export function guessRecall(
  name: PrefetchName,
  steps: readonly TraceStep[],
  numExperts: number,
  guesses: number,
): number {
  const prefetcher = createPrefetcher(name, steps, numExperts);
  let found = 0;
  let wanted = 0;
  steps.forEach(({ experts }, index) => {
    for (let moe = 1; moe < experts.length; moe++) {
      const named = new Set(prefetcher.guess(index, moe, experts[moe - 1] ?? []).slice(0, guesses));
      const event = experts[moe] ?? [];
      found += event.filter((id) => named.has(id)).length;
      wanted += event.length;
    }
    prefetcher.observe(index);
  });
  return wanted > 0 ? found / wanted : 0;
}
