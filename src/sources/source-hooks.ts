/** What a caller of the sources may observe or replace. Counting is the caller's business, reading is the source's. */

/** Where bytes came from, for counters. */
export type ByteOrigin = "network" | "file" | "memory";

export interface SourceHooks {
  /** Called as bytes arrive, with how many more there are; bytes of failed attempts count too. */
  readonly onBytes?: (origin: ByteOrigin, bytes: number) => void;
  /** Called once before every repeated request. */
  readonly onRetry?: () => void;
  /** Called when the address that a redirect ended at no longer answers, and the first one is asked again. */
  readonly onReResolve?: () => void;
  /** Whether the host says that it has no network; only what an error is called depends on it. */
  readonly isOffline?: (() => boolean) | undefined;
  /** Stands in for the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** Waits before the second, third, ... try, in milliseconds. */
  readonly retryDelaysMs?: readonly number[];
  /** Silence after which a connection is cut and the rest asked for again, in milliseconds. Default 20,000. */
  readonly stallTimeoutMs?: number | undefined;
}
