/** Repeats what failed for a passing reason. What is passing is said by the thrower, with `TransientFailure`. */
import { SourceError } from "../errors.ts";
import { abortError, delay } from "../util/abort.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** Waits before the second, third and fourth try. Together about what a person waits without reloading the page. */
const RETRY_DELAYS_MS = [250, 1000, 3000] as const;

/** Longest wait that a server's `Retry-After` may ask for; who wants more is asked earlier, and then given up. */
const MAX_RETRY_AFTER_MS = 60_000;

interface TransientMore {
  readonly waitMs?: number;
  readonly status?: number;
  /** The platform's own error. */
  readonly cause?: unknown;
}

/** Thrown by an attempt that is worth repeating; never leaves this folder. */
export class TransientFailure extends Error {
  override name = "TransientFailure";
  /** Least wait before the next try, in milliseconds. */
  readonly waitMs: number;
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;

  constructor(message: string, { waitMs = 0, status, cause }: TransientMore = {}) {
    super(message, cause === undefined ? {} : { cause });
    this.waitMs = waitMs;
    this.status = status;
  }
}

/**
 * The wait that a `Retry-After` field asks for, in milliseconds: whole seconds or an HTTP date (RFC 9110, 10.2.3).
 * 0 for a field that is missing, hidden by CORS, malformed or past; never more than a minute.
 */
export function retryAfterMs(value: string | null, now = Date.now()): number {
  const text = value?.trim() ?? "";
  const waitMs = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return waitMs > 0 ? Math.min(waitMs, MAX_RETRY_AFTER_MS) : 0;
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
        throw givenUp(label, error, tries, hooks.isOffline?.() ?? false);
      }
      // Jitter, so that parallel reads which broke together do not come back together.
      await delay(Math.max(error.waitMs, waitMs * (0.75 + Math.random() * 0.5)), signal);
      hooks.onRetry?.();
    }
  }
}

function givenUp(
  label: string,
  { message, status, cause }: TransientFailure,
  tries: number,
  offline: boolean,
): SourceError {
  const code = status !== undefined ? "http-status" : offline ? "offline" : "network";
  const details = { source: label, tries, ...(status === undefined ? {} : { status }) };
  const remedy = offline
    ? "This device is offline: connect it and load again"
    : "Check the connection (and, across origins, the server's CORS headers) and load again";
  const count = `${tries} ${tries === 1 ? "try" : "tries"}`;
  return new SourceError(`${label}: ${message}; gave up after ${count}. ${remedy}`, { code, details, cause });
}
