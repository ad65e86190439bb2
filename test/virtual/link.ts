/** A link with a latency for every request and a bandwidth that all requests under way share. Real time, no randomness. */
import { delay } from "../../src/util/abort.ts";

export interface LinkModel {
  /** From a request to the first byte of its answer, in milliseconds. */
  readonly latencyMs: number;
  /** Of all answers together; infinite for a link that only delays. */
  readonly bytesPerSecond: number;
}

/** Links that benches speak of. */
export const LINKS = {
  disk: { latencyMs: 1, bytesPerSecond: 2e9 },
  network: { latencyMs: 30, bytesPerSecond: 12e6 },
} as const satisfies Readonly<Record<string, LinkModel>>;

/** Bytes that a request sends before another has its turn. */
export const LINK_PIECE_BYTES = 64 * 1024;
/** Timers are no finer than this: shorter waits are saved up, which keeps the rate right and the sleeps few. */
const TIMER_MS = 2;
/** What a link that was busy all along may catch up of a timer that woke late. */
const CATCH_UP_MS = 20;

export class Link {
  readonly #model: LinkModel;
  /** When the link will have sent everything that it was given, in milliseconds of `performance.now()`. */
  #freeAt = 0;

  constructor(model: LinkModel) {
    this.#model = model;
  }

  /** Waits as long as a request is on its way. @throws `AbortError`. */
  async request(signal?: AbortSignal): Promise<void> {
    if (this.#model.latencyMs > 0) await delay(this.#model.latencyMs, signal);
  }

  /**
   * Waits until `bytes` more have gone through. Whoever sends in pieces of `LINK_PIECE_BYTES` shares evenly with the rest.
   * @throws `AbortError`.
   */
  async send(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now - CATCH_UP_MS) + (bytes / this.#model.bytesPerSecond) * 1000;
    const waitMs = this.#freeAt - now;
    if (waitMs >= TIMER_MS) await delay(waitMs, signal);
  }
}
