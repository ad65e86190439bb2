/** The engine's own counters; with the pager's, the queue's and the ledger's they make `Stats`. */
import type { Gpu } from "../gpu/device.ts";
import type { Pager } from "../pager/pager.ts";
import type { Reach } from "./run-ahead.ts";
import type { Gauge, ResponseStats, Stats } from "./types.ts";

/** Bytes and retries of the sources; the caller that opens them keeps the count. */
export interface SourceCounts {
  networkBytes: number;
  fileBytes: number;
  memoryBytes: number;
  retries: number;
}

export interface EngineCounts {
  prefillTokens: number;
  prefillMs: number;
  decodeTokens: number;
  decodeMs: number;
  timeToFirstTokenMs: number;
  decodeSubmissions: number;
  decodeDispatches: number;
  decodeReadbacks: number;
  decodeWeightBytesRead: number;
  decodeRounds: number;
  cleanSteps: number;
  queuedSteps: number;
  queuedStepsDropped: number;
  expertHits: number;
  expertMisses: number;
}

export function newCounts(): EngineCounts {
  return {
    prefillTokens: 0,
    prefillMs: 0,
    decodeTokens: 0,
    decodeMs: 0,
    timeToFirstTokenMs: 0,
    decodeSubmissions: 0,
    decodeDispatches: 0,
    decodeReadbacks: 0,
    decodeWeightBytesRead: 0,
    decodeRounds: 0,
    cleanSteps: 0,
    queuedSteps: 0,
    queuedStepsDropped: 0,
    expertHits: 0,
    expertMisses: 0,
  };
}

/** Where the numbers of `Stats` are kept. */
export interface Books {
  readonly counts: EngineCounts;
  readonly sources: SourceCounts;
  readonly pager: Pager;
  readonly gpu: Gpu;
  readonly reach: Reach;
  readonly kvBytes: number;
}

const GAUGES: readonly Gauge[] = [
  "gpuBytes",
  "gpuBytesTotal",
  "gpuBytesPeak",
  "kvBytes",
  "runAheadLayers",
  "extraGuesses",
];

/** `sum` and what `after` counts beyond `before`; the time to first token is the last one. */
export function withAdded(sum: ResponseStats | undefined, before: Stats, after: Stats): ResponseStats {
  const names = Object.keys(after).filter((name) => !GAUGES.some((gauge) => gauge === name)) as (keyof ResponseStats)[];
  const added = names.map((name) => [name, (sum?.[name] ?? 0) + after[name] - before[name]]);
  return { ...Object.fromEntries(added), timeToFirstTokenMs: after.timeToFirstTokenMs };
}

export function snapshot({ counts, sources, pager, gpu, reach, kvBytes }: Books): Stats {
  return {
    ...counts,
    ...gpu.queue.counts,
    ...pager.counts,
    ...sources,
    runAheadLayers: reach.layers,
    extraGuesses: reach.hints,
    gpuBytes: gpu.ledger.byOwner(),
    gpuBytesTotal: gpu.ledger.totalBytes,
    gpuBytesPeak: gpu.ledger.peakBytes,
    kvBytes,
  };
}
