/** Repeats what failed for a passing reason. What is passing is said by the thrower, with `TransientFailure`. */
import { SourceError } from "../errors.ts";
import { abortError, delay } from "../util/abort.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** Waits before the second, third and fourth try. Together about what a person waits without reloading the page. */
const RETRY_DELAYS_MS = [250, 1000, 3000] as const;

/** Thrown by an attempt that is worth repeating; never leaves this folder. */
export class TransientFailure extends Error {
  override name = "TransientFailure";
}

/**
 * Runs `attempt` until it succeeds, fails for good, or has used up its tries.
 * @throws SourceError naming the last failure and the number of tries; `AbortError`; whatever else `attempt` throws.
 */
export async function withRetries<T>(
  label: string,
  hooks: SourceHooks,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  const delaysMs = hooks.retryDelaysMs ?? RETRY_DELAYS_MS;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (signal?.aborted) throw abortError(signal);
      if (!(error instanceof TransientFailure)) throw error;
      const waitMs = delaysMs[tries - 1];
      if (waitMs === undefined) {
        throw new SourceError(
          `${label}: ${error.message}; gave up after ${tries} ${tries === 1 ? "try" : "tries"}. ` +
            "Check the connection (and, across origins, the server's CORS headers) and load again",
        );
      }
      // Jitter, so that parallel reads which broke together do not come back together.
      await delay(waitMs * (0.75 + Math.random() * 0.5), signal);
      hooks.onRetry?.();
    }
  }
}
