/**
 * What a replay would cost on a link and a device, from its counts. Plain arithmetic on stated assumptions, for comparing
 * policies; it is no measurement. Fetches of one batch share one latency and then the bandwidth; nothing else uses the
 * link; a layer takes the same time whatever it computes.
 */
import type { ReplayCounts } from "./replay.ts";
import type { RoundCounts } from "./replay-rounds.ts";

export interface Link {
  readonly expertBytes: number;
  /** From asking to the first byte. */
  readonly latencyMs: number;
  readonly bytesPerMs: number;
  /** Computing one MoE layer and what lies before it. */
  readonly layerMs: number;
  /** One submission and its read-back. */
  readonly roundtripMs: number;
}

export interface Cost {
  /** Time per token that computing waits for bytes. */
  readonly stallMs: number;
  /** Time per token in all. */
  readonly tokenMs: number;
  /** Bytes per token. */
  readonly bytes: number;
}

/**
 * The host looks at every layer's routing (one round trip each). Guesses for a layer travel while the layer before is
 * computed, and all of them arrive before its demands: what exceeds `layerMs` is waited for.
 */
export function eventCost(counts: ReplayCounts, link: Link): Cost {
  const late = (guesses: number): number => Math.max(0, batchMs(guesses, link) - link.layerMs);
  const demandMs =
    (counts.events - counts.cleanEvents) * link.latencyMs + (counts.demandLoads * link.expertBytes) / link.bytesPerMs;
  const stallMs = demandMs + sumOver(counts.guessBatches, late);
  const computeMs = counts.events * (link.layerMs + link.roundtripMs);
  return perToken(counts, link, stallMs, computeMs);
}

/** A round computes to the end of the token, and a fetch is waited for whole, guesses included. */
export function roundCost(counts: RoundCounts, link: Link): Cost {
  const stallMs = sumOver(counts.fetchBatches, (experts) => batchMs(experts, link));
  const computeMs = counts.layersRun * link.layerMs + counts.rounds * link.roundtripMs;
  return perToken(counts, link, stallMs, computeMs);
}

function batchMs(experts: number, { latencyMs, expertBytes, bytesPerMs }: Link): number {
  return latencyMs + (experts * expertBytes) / bytesPerMs;
}

function sumOver(batches: ReadonlyMap<number, number>, ms: (size: number) => number): number {
  let sum = 0;
  for (const [size, times] of batches) sum += times * ms(size);
  return sum;
}

function perToken(counts: ReplayCounts, link: Link, stallMs: number, computeMs: number): Cost {
  const loads = counts.demandLoads + counts.guessLoads;
  const share = 1 / Math.max(1, counts.tokens);
  return { stallMs: stallMs * share, tokenMs: (stallMs + computeMs) * share, bytes: loads * link.expertBytes * share };
}
