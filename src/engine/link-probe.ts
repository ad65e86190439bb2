/** How fast bytes of a model come: one small read for the latency, one larger for the bandwidth, a quarter of a mebibyte in all. */
import type { ByteSource } from "../sources/byte-source.ts";
import type { LinkSpeed } from "./run-estimate.ts";

const FIRST_BYTES = 4 * 1024;
const SECOND_BYTES = 240 * 1024;
/** What a probe reads. */
export const PROBE_BYTES = FIRST_BYTES + SECOND_BYTES;
/** A source may keep so much of the file's beginning, and answer from it. */
const KEPT_BYTES = 64 * 1024;
/** Clocks are rounded; no time is shorter. */
const CLOCK_MS = 0.1;

/** `null` for a file too short to try. @throws SourceError, `AbortError`. */
export async function probeLink(source: ByteSource, signal?: AbortSignal): Promise<LinkSpeed | null> {
  const size = await source.size(signal);
  const start = size - PROBE_BYTES;
  if (start < KEPT_BYTES) return null;
  const latencyMs = await timed(() => source.read(start, FIRST_BYTES, signal));
  const secondMs = await timed(() => source.read(start + FIRST_BYTES, SECOND_BYTES, signal));
  // A latency that happened to be long must not make the bandwidth endless.
  const transferMs = Math.max(CLOCK_MS, secondMs - latencyMs, secondMs / 4);
  return { latencyMs, bytesPerSecond: (1000 * SECOND_BYTES) / transferMs };
}

async function timed(read: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await read();
  return Math.max(CLOCK_MS, performance.now() - start);
}
