/** What an aborted operation throws, and waiting that can be aborted. */

/** The platform's `AbortError`, whatever reason the signal carries, so that callers can tell it by name. */
export function abortError(signal?: AbortSignal): DOMException {
  const reason: unknown = signal?.reason;
  if (reason instanceof DOMException && reason.name === "AbortError") return reason;
  const text = reason instanceof Error ? reason.message : "The operation was aborted";
  return new DOMException(text, "AbortError");
}

/** @throws `AbortError` when `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** Resolves after `ms` milliseconds. @throws `AbortError` as soon as `signal` fires. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortError(signal));
      return;
    }
    const stop = (): void => {
      clearTimeout(timer);
      reject(abortError(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * What `promise` gives, or an `AbortError` as soon as `signal` fires. What is waited for then goes on by itself.
 * @param late gets what came after the abort, which nobody else will have.
 */
export function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  late: (value: T) => void = () => {},
): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(abortError(signal));
      promise.then(late, () => {}); // who would hear of a failure has gone
    };
    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Resolves when `promise` does, or after `ms` milliseconds. @throws what `promise` throws by then; `AbortError`. */
export async function within(promise: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<void> {
  if (ms === Number.POSITIVE_INFINITY) {
    await promise;
    throwIfAborted(signal);
    return;
  }
  const over = new AbortController();
  const until = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  const waiting = delay(ms, until);
  waiting.catch(() => {}); // `promise` may be first
  try {
    await Promise.race([promise, waiting]);
    throwIfAborted(signal);
  } finally {
    over.abort();
  }
}
