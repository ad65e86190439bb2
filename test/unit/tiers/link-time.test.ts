/**
 * How long demands and guesses take through the queue over links whose time is simulated: every answer takes 30 ms, on six
 * connections or on as many as are asked for. An expert is three ranges, as in a stacked GGUF.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ByteSource } from "../../../src/sources/byte-source.ts";
import { FetchQueue } from "../../../src/tiers/fetch-queue.ts";
import type { ReadPriority } from "../../../src/tiers/read-expert.ts";
import { createLimiter } from "../../../src/util/limit.ts";

const LATENCY_MS = 30;
const RANGE_BYTES = 1000;
const FAR = 2 ** 20;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** `answerMs`: what the processor takes of every answer, one after another. */
function setUp(connections: number, answerMs = 0) {
  const connection = createLimiter(connections);
  const processor = createLimiter(1);
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const source: ByteSource = {
    label: "simulated",
    size: async () => Number.MAX_SAFE_INTEGER,
    read: (_, length) =>
      connection(async () => {
        await wait(LATENCY_MS);
        if (answerMs > 0) await processor(() => wait(answerMs));
        return new Uint8Array(length);
      }),
  };
  const queue = new FetchQueue();
  let next = 0;
  /** Asks for `count` experts; gives the moment when the last of them was there, counted from now. */
  const ask = async (count: number, priority: ReadPriority): Promise<number> => {
    const start = performance.now();
    const ranges = Array.from({ length: 3 * count }, () => {
      next += 1;
      return queue.fetch({ source, offset: next * FAR, length: RANGE_BYTES }, { priority });
    });
    await Promise.all(ranges);
    return performance.now() - start;
  };
  const settled = async <T>(result: Promise<T>): Promise<T> => {
    await vi.advanceTimersByTimeAsync(10_000);
    return result;
  };
  /** What the queue learns of the link by loading a model. */
  const learn = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) await settled(ask(8, "demand"));
  };
  return { ask, settled, learn };
}

test("side by side: demands and all guesses of a step in one latency", async () => {
  const { ask, settled, learn } = setUp(Number.POSITIVE_INFINITY);
  await learn();
  expect(await settled(Promise.all([ask(4, "demand"), ask(6, "guess")]))).toEqual([LATENCY_MS, LATENCY_MS]);
  // The next round's demands do not wait for guesses that are under way.
  const guesses = ask(10, "guess");
  await vi.advanceTimersByTimeAsync(10);
  expect(await settled(ask(4, "demand"))).toBe(LATENCY_MS);
  await guesses;
});

test("side by side on a busy processor: answers that wait for it are not taken for connections", async () => {
  const { ask, settled, learn } = setUp(Number.POSITIVE_INFINITY, 2);
  await learn();
  const took = await settled(Promise.all([ask(4, "demand"), ask(9, "guess")]));
  expect(took).toEqual([LATENCY_MS + 2 * 12, LATENCY_MS + 2 * 39]);
});

test("over six connections: demands at their full rate, guesses behind them, and room for the next demand", async () => {
  const { ask, settled, learn } = setUp(6);
  await learn();
  const [demands, guesses] = await settled(Promise.all([ask(4, "demand"), ask(4, "guess")]));
  expect(demands).toBe(2 * LATENCY_MS); // twelve ranges
  expect(guesses).toBe(5 * LATENCY_MS); // twelve more, four at a time
  const late = ask(8, "guess");
  await vi.advanceTimersByTimeAsync(10);
  expect(await settled(ask(1, "demand"))).toBeLessThanOrEqual(LATENCY_MS + 20); // two connections at once, one range later
  await late;
});
