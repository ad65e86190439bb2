/** The engine's own counters; with the pager's, the queue's and the ledger's they make `Stats`. */
import type { Parts } from "./parts.ts";
import type { Stats } from "./types.ts";

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
