/** The link is tried with two short reads, and told apart into latency and bandwidth. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { PROBE_BYTES, probeLink } from "../../../src/engine/link-probe.ts";
import type { ByteSource } from "../../../src/sources/byte-source.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Read {
  readonly offset: number;
  readonly length: number;
}

/** A file whose reads take `latencyMs` and what `bytesPerMs` makes of their length. */
function slowFile(size: number, latencyMs: number, bytesPerMs: number): { source: ByteSource; reads: Read[] } {
  const reads: Read[] = [];
  const source: ByteSource = {
    label: "slow",
    size: async () => size,
    read: async (offset, length) => {
      reads.push({ offset, length });
      vi.advanceTimersByTime(latencyMs + length / bytesPerMs);
      return new Uint8Array(length);
    },
  };
  return { source, reads };
}

test("latency and bandwidth, from the end of the file, with no more than was said", async () => {
  const { source, reads } = slowFile(10_000_000, 50, 1024);
  const link = await probeLink(source);
  // 4 KiB take 50 + 4 ms; 240 KiB take 236 ms more than that.
  expect(link?.latencyMs).toBeCloseTo(54);
  expect(link?.bytesPerSecond).toBeCloseTo((240 * 1024 * 1000) / 236);
  expect(reads.reduce((sum, { length }) => sum + length, 0)).toBe(PROBE_BYTES);
  expect(reads.at(-1)).toEqual({ offset: 10_000_000 - 240 * 1024, length: 240 * 1024 });
});

test("a latency that was long by chance does not make the bandwidth endless", async () => {
  const { source } = slowFile(10_000_000, 200, 1e6);
  const link = await probeLink(source);
  expect(link?.bytesPerSecond).toBeLessThan((240 * 1024 * 1000) / 50);
  expect(link?.bytesPerSecond).toBeGreaterThan(0);
});

test("a file so short that its beginning is at hand already is not tried", async () => {
  const { source, reads } = slowFile(PROBE_BYTES + 64 * 1024 - 1, 1, 1);
  expect(await probeLink(source)).toBeNull();
  expect(reads).toEqual([]);
});

test("an error of the source is the probe's", async () => {
  const source: ByteSource = { label: "gone", size: async () => 1e9, read: () => Promise.reject(new Error("gone")) };
  await expect(probeLink(source)).rejects.toThrow("gone");
});
