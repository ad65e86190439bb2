/** Bounded concurrency and abortable waits. */
import { expect, test } from "vitest";
import { abortError, delay } from "../../../src/util/abort.ts";
import { createLimiter, mapLimited } from "../../../src/util/limit.ts";
import { alignUp, ceilDiv, humanBytes, safeProduct } from "../../../src/util/math.ts";

test("never more than the limit at a time, results in order", async () => {
  let running = 0;
  let most = 0;
  const results = await mapLimited([5, 1, 3, 2, 4], 2, async (ms, index) => {
    running += 1;
    most = Math.max(most, running);
    await delay(ms);
    running -= 1;
    return index;
  });
  expect(results).toEqual([0, 1, 2, 3, 4]);
  expect(most).toBe(2);
});

test("a failed task gives its place to the next", async () => {
  const limit = createLimiter(1);
  const failed = limit(() => Promise.reject(new Error("no")));
  const next = limit(async () => "yes");
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe("yes");
});

test("waiting ends with AbortError and frees no place that it did not have", async () => {
  const limit = createLimiter(1);
  const controller = new AbortController();
  let finish = (): void => undefined;
  const first = limit(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  const waiting = limit(async () => "never", controller.signal);
  const third = limit(async () => "third");
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  await expect(limit(async () => 1, controller.signal)).rejects.toMatchObject({ name: "AbortError" });
  finish();
  await first;
  expect(await third).toBe("third");
});

test("abortError is the platform's whatever the reason", () => {
  const own = new AbortController();
  own.abort();
  expect(abortError(own.signal)).toBe(own.signal.reason);
  expect(abortError(AbortSignal.abort(new Error("x")))).toMatchObject({ name: "AbortError", message: "x" });
  expect(abortError()).toBeInstanceOf(DOMException);
});

test("sizes", () => {
  expect([ceilDiv(0, 4), ceilDiv(1, 4), ceilDiv(4, 4)]).toEqual([0, 1, 1]);
  expect([alignUp(0, 32), alignUp(33, 32)]).toEqual([0, 64]);
  expect([0, 1023, 1024, 1536, 150 * 2 ** 20, 2 ** 31].map(humanBytes)).toEqual([
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "150 MiB",
    "2 GiB",
  ]);
  expect([safeProduct([]), safeProduct([3, 4]), safeProduct([2 ** 30, 2 ** 30])]).toEqual([1, 12, undefined]);
});
