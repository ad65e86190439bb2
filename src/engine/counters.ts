/** The engine's own counters; with the pager's, the queue's and the ledger's they make `Stats`. */

import type { HistoryReads } from "./history-reads.ts";
import type { Parts } from "./parts.ts";
import type { Reach } from "./run-ahead.ts";
import type { Gauge, ResponseStats, Stats, TierStats } from "./types.ts";

/** What the tiers below the slots and RAM count: sources, fetch queue, disk cache. Whoever opens them keeps the count. */
export type SourceCounts = { -readonly [K in keyof TierStats]: TierStats[K] };

export function newSourceCounts(): SourceCounts {
  return {
    networkBytes: 0,
    fileBytes: 0,
    memoryBytes: 0,
    retries: 0,
    reResolved: 0,
    fetchRequests: 0,
    fetchesMerged: 0,
    fetchesJoined: 0,
    diskBytes: 0,
    diskHits: 0,
    corruptBlocks: 0,
    uncheckedFiles: 0,
    cacheBytes: 0,
    cacheWriteBytes: 0,
    cacheEvictions: 0,
    cacheRefusals: 0,
    cacheDisabled: "off",
    cachedExperts: 0,
    fillState: "off",
    ioWorker: false,
  };
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
  scouts: number;
  cleanSteps: number;
  queuedSteps: number;
  queuedStepsDropped: number;
  expertHits: number;
  expertMisses: number;
  deviceLosses: number;
  budgetsLowered: number;
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
    scouts: 0,
    cleanSteps: 0,
    queuedSteps: 0,
    queuedStepsDropped: 0,
    expertHits: 0,
    expertMisses: 0,
    deviceLosses: 0,
    budgetsLowered: 0,
  };
}

/** Where the numbers of `Stats` are kept. */
export interface Books {
  readonly counts: EngineCounts;
  readonly sources: SourceCounts;
  readonly parts: Parts;
  readonly reach: Reach;
  readonly history: HistoryReads | undefined;
  readonly kvBytes: number;
}

const GAUGES: readonly Gauge[] = [
  "gpuBytes",
  "gpuBytesTotal",
  "gpuBytesPeak",
  "kvBytes",
  "runAheadLayers",
  "extraGuesses",
  "ramHeldBytes",
  "cacheBytes",
  "cacheDisabled",
  "cachedExperts",
  "fillState",
  "ioWorker",
];

/** `sum` and what `after` counts beyond `before`; the time to first token is the last one. */
export function withAdded(sum: ResponseStats | undefined, before: Stats, after: Stats): ResponseStats {
  const names = Object.keys(after).filter((name) => !GAUGES.some((gauge) => gauge === name)) as (keyof ResponseStats)[];
  const added = names.map((name) => [name, (sum?.[name] ?? 0) + after[name] - before[name]]);
  return { ...Object.fromEntries(added), timeToFirstTokenMs: after.timeToFirstTokenMs };
}

export function snapshot({ counts, sources, parts: { gpu, pager, ram }, reach, history, kvBytes }: Books): Stats {
  return {
    ...counts,
    ...gpu.queue.counts,
    ...pager.counts,
    ...ram.counts,
    ...sources,
    ...(history?.counts ?? { historyReads: 0, historyUseful: 0 }),
    runAheadLayers: reach.layers,
    extraGuesses: reach.hints,
    gpuBytes: gpu.ledger.byOwner(),
    gpuBytesTotal: gpu.ledger.totalBytes,
    gpuBytesPeak: gpu.ledger.peakBytes,
    kvBytes,
  };
}
