/**
 * The connection to one engine, in its worker or in this thread: call ids, cancellation, and what happens when it dies.
 * Errors come back whole; an `AbortSignal` becomes a `cancel` call.
 */
import { DeviceError, UsageError } from "../errors.ts";
import type { EngineHostApi } from "./protocol.ts";
import type { EngineLink } from "./worker.ts";

/** An engine that is to end answers an abort within this time, or is ended: it may hang. Milliseconds. */
const ABORT_GRACE_MS = 1000;

/**
 * The connection to one engine: call ids, cancellation, and what happens when it dies.
 * @internal
 */
export class Border {
  closed = false;
  readonly #engine: EngineLink;
  /** Rejections of the calls under way. Not a promise to race against: that would hold every result ever given. */
  readonly #waiting = new Set<(error: Error) => void>();
  #failure: Error | undefined;
  #nextCall = 1;

  constructor(engine: EngineLink) {
    this.#engine = engine;
    engine.onStop((why) => {
      this.#fail(new DeviceError(`The engine worker stopped: ${why}.`, { code: "worker-stopped" }));
    });
  }

  async call<T>(signal: AbortSignal | undefined, run: (host: EngineHostApi, callId: number) => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    signal?.throwIfAborted();
    const callId = this.#nextCall++;
    const cancel = () => void this.#engine.host.cancel(callId);
    signal?.addEventListener("abort", cancel);
    let fail: (error: Error) => void = () => {};
    try {
      return await new Promise<T>((resolve, reject) => {
        fail = reject;
        this.#waiting.add(fail);
        run(this.#engine.host, callId).then(resolve, reject);
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      this.#waiting.delete(fail);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /**
   * The only call of an engine that was started for it: an abort ends the engine when it does not answer soon.
   * @param graceMs how long an aborted call may take to end in order.
   */
  async only<T>(
    signal: AbortSignal | undefined,
    run: (host: EngineHostApi, callId: number) => Promise<T>,
    graceMs = ABORT_GRACE_MS,
  ): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = () => {
      timer = setTimeout(() => this.close(), graceMs);
    };
    signal?.addEventListener("abort", stop);
    try {
      return await this.call(signal, run);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Ends the engine; calls still under way reject, for their answers will not come. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#fail(new UsageError("This model was disposed. Load it again to use it.", { code: "disposed" }));
    this.#engine.end();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const reject of this.#waiting) reject(error);
  }
}
