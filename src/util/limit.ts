/** Bounded concurrency: at most so many tasks at a time, the rest wait in order. It does not retry or cancel tasks. */
import { abortError } from "./abort.ts";

/** Runs a task when there is room; waiting ends with `AbortError` when `signal` fires, a running task goes on. */
export type Limiter = <T>(task: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

/** A limiter that lets `max` tasks run at a time. */
export function createLimiter(max: number): Limiter {
  let running = 0;
  const waiting: (() => void)[] = [];

  const enter = (signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(abortError(signal));
        return;
      }
      if (running < max) {
        running += 1;
        resolve();
        return;
      }
      // The one who leaves hands its place over, so `running` does not change.
      const start = (): void => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = (): void => {
        waiting.splice(waiting.indexOf(start), 1);
        reject(abortError(signal));
      };
      waiting.push(start);
      signal?.addEventListener("abort", giveUp, { once: true });
    });

  const leave = (): void => {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  };

  return async (task, signal) => {
    await enter(signal);
    try {
      return await task();
    } finally {
      leave();
    }
  };
}

/** Maps `items` through `task`, at most `max` at a time, results in order. The first failure rejects the whole. */
export function mapLimited<T, R>(
  items: readonly T[],
  max: number,
  task: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const limit = createLimiter(max);
  return Promise.all(items.map((item, index) => limit(() => task(item, index), signal)));
}
