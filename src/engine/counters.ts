/** The engine's own counters; with the pager's, the queue's and the ledger's they make `Stats`. */
import type { Parts } from "./parts.ts";
import type { Stats, TierStats } from "./types.ts";

/** What the tiers below the slots and RAM count: sources, fetch queue, disk cache. Whoever opens them keeps the count. */
export type SourceCounts = { -readonly [K in keyof TierStats]: TierStats[K] };

export function newSourceCounts(): SourceCounts {
  return {
    networkBytes: 0,
    fileBytes: 0,
    memoryBytes: 0,
    retries: 0,
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
  cleanSteps: number;
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
    expertHits: 0,
    expertMisses: 0,
  };
}

export function snapshot(counts: EngineCounts, sources: SourceCounts, parts: Parts, kvBytes: number): Stats {
  const { gpu, pager, ram } = parts;
  return {
    ...counts,
    ...gpu.queue.counts,
    ...pager.counts,
    ...ram.counts,
    ...sources,
    gpuBytes: gpu.ledger.byOwner(),
    gpuBytesTotal: gpu.ledger.totalBytes,
    gpuBytesPeak: gpu.ledger.peakBytes,
    kvBytes,
  };
}
