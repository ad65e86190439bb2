/** Cuts a connection that was accepted and then brings nothing: without this, `fetch` would wait for it for ever. */

/** Silence after which a connection counts as dead. */
const STALL_TIMEOUT_MS = 20_000;

export interface StallWatch {
  /** Fires when the caller's signal does, or when nothing came for too long. */
  readonly signal: AbortSignal;
  /** Whether it was the silence that fired. */
  readonly stalled: boolean;
  readonly timeoutMs: number;
  /** Something came. */
  touch(): void;
  /** Stops watching; what is still on its way is cut off. */
  end(): void;
}

/**
 * Starts to watch one request.
 * @param busyUntil when something last came from the same server on another connection, by `performance.now()`. Until
 *   the first `touch` that counts too: a browser queues requests beyond its limit of connections, and one in the queue
 *   is not dead.
 */
export function watchStall(
  timeoutMs = STALL_TIMEOUT_MS,
  outer: AbortSignal | undefined,
  busyUntil: () => number,
): StallWatch {
  const controller = new AbortController();
  let stalled = false;
  let touched = false;
  let last = performance.now();
  let timer: ReturnType<typeof setTimeout>;
  const check = (): void => {
    const since = touched ? last : Math.max(last, busyUntil());
    const leftMs = since + timeoutMs - performance.now();
    if (leftMs > 0) {
      timer = setTimeout(check, leftMs);
      return;
    }
    stalled = true;
    controller.abort();
  };
  const abort = (): void => controller.abort(outer?.reason);
  timer = setTimeout(check, timeoutMs);
  if (outer?.aborted) abort();
  outer?.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    timeoutMs,
    get stalled() {
      return stalled;
    },
    touch: () => {
      touched = true;
      last = performance.now();
    },
    end: () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", abort);
      controller.abort();
    },
  };
}
