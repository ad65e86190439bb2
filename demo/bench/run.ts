/**
 * What every bench measures: a prompt and the tokens behind it, from an empty timeline, and what they took. Types alone are
 * imported, so that a page without a bundler can have this file as it is.
 */
import type { MemoryPlan, Model, Session, Stats } from "../../src/index.ts";

/** What was added to every counter of `Stats` that is a number. */
export type Counts = Readonly<Record<string, number>>;

export interface Run {
  /** Tokens drawn in the measured part. */
  readonly taken: number;
  /** What the measured decoding added, and the prefill with the first token before it. */
  readonly decode: Counts;
  readonly prefill: Counts;
  /** From the start of the prefill to the first id. */
  readonly firstTokenMs: number;
}

/** Prefills `prompt`, draws a token, and measures the `tokens` after it; the same ids every time, through any stop id. */
export async function runOnce(
  { model, session }: { readonly model: Model; readonly session: Session },
  prompt: readonly number[],
  tokens: number,
  signal?: AbortSignal,
): Promise<Run> {
  await session.rewind(0);
  const before = await model.stats();
  await session.prefill(prompt, signal ? { signal } : {});
  await take(session, 1, signal);
  const between = await model.stats();
  const taken = await take(session, tokens, signal);
  const after = await model.stats();
  const firstTokenMs = between.timeToFirstTokenMs;
  return { taken, decode: added(between, after), prefill: added(before, between), firstTokenMs };
}

/** Draws `count` ids greedily, through any stop id. */
export async function take(session: Session, count: number, signal?: AbortSignal): Promise<number> {
  let taken = 0;
  const options = { maxTokens: count, stopIds: [], ...(signal ? { signal } : {}) };
  for await (const _ of session.generate(options)) taken += 1;
  return taken;
}

/** The budget at which `share` of the experts' bytes has room, and never less than works. */
export function budgetFor(plan: MemoryPlan, share: number): number {
  const { fullBudgetBytes, expertBytes, minBudgetBytes } = plan;
  return Math.max(minBudgetBytes, Math.floor(fullBudgetBytes - expertBytes * (1 - share)));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function added(before: Stats, after: Stats): Counts {
  const numbers = Object.entries(after).filter(([, value]) => typeof value === "number");
  return Object.fromEntries(numbers.map(([name, value]) => [name, value - Number(before[name as keyof Stats])]));
}
