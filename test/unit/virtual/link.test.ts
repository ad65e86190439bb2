/** The link model in real time: lower bounds are exact, upper ones leave room for a busy machine. */
import { expect, test } from "vitest";
import { LINK_PIECE_BYTES, Link } from "../../virtual/link.ts";

async function sendAll(link: Link, bytes: number, signal?: AbortSignal): Promise<number> {
  for (let at = 0; at < bytes; at += LINK_PIECE_BYTES) await link.send(Math.min(LINK_PIECE_BYTES, bytes - at), signal);
  return performance.now();
}

test("every request waits out the latency, requests side by side", async () => {
  const link = new Link({ latencyMs: 200, bytesPerSecond: Number.POSITIVE_INFINITY });
  const start = performance.now();
  await Promise.all([link.request(), link.request(), link.request()]);
  const took = performance.now() - start;
  expect(took).toBeGreaterThanOrEqual(199);
  expect(took).toBeLessThan(590); // one after another it would be 600
  await sendAll(link, 10_000_000);
});

test("bandwidth is shared: two transfers take as long as their bytes together, and end together", async () => {
  const link = new Link({ latencyMs: 0, bytesPerSecond: 10e6 });
  const start = performance.now();
  const [first, second] = await Promise.all([sendAll(link, 2e6), sendAll(link, 2e6)]);
  const took = Math.max(first, second) - start;
  expect(took).toBeGreaterThan(350); // 4 MB at 10 MB/s, less what may be caught up
  expect(took).toBeLessThan(1500);
  expect(Math.abs(first - second)).toBeLessThan(took / 3);
});

test("waiting ends with the reader", async () => {
  const link = new Link({ latencyMs: 60_000, bytesPerSecond: 1 });
  const stop = new AbortController();
  const waiting = [link.request(stop.signal), link.send(1000, stop.signal)];
  stop.abort();
  // Both at once: the second would be nobody's while the first is awaited.
  await Promise.all(waiting.map((wait) => expect(wait).rejects.toMatchObject({ name: "AbortError" })));
});
