/**
 * One task of an engine after another, since they share its scratch buffers. A task whose device is lost under it waits
 * for another device and runs again from its beginning: tasks leave a timeline as they found it when they fail.
 */
import { DeviceError, OctavoError } from "../errors.ts";
import type { Loss } from "../gpu/loss.ts";
import { abortError } from "../util/abort.ts";

/** Times that one task, or a load, may lose its device before it gives up: it may be what kills the device. */
export const MAX_LOSSES = 3;

export interface TurnsHost<Q> {
  readonly loss: Loss;
  /** Throws when there is to be no task any more. */
  check(): void;
  /** Brings back what a lost device had, where something is missing. */
  restore(): Promise<void>;
  /** Ends what was queued on the GPU for a task that did not come. */
  drop(queued: Q): Promise<void>;
}

/** `Q`: what a task may leave queued on the GPU for the next one. */
export class Turns<Q> {
  readonly #host: TurnsHost<Q>;
  #last: Promise<unknown> = Promise.resolve();
  #queued: Q | undefined;

  constructor(host: TurnsHost<Q>) {
    this.#host = host;
  }

  /** Runs `task` when every earlier one has ended. An abort before it begins ends the wait at once. */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.runWithQueued(async (queued) => {
      if (queued !== undefined) await this.#host.drop(queued);
      return task();
    }, signal);
  }

  /** The same for a task that takes what the last one queued, if that was the one before; for others it is dropped. */
  runWithQueued<T>(task: (queued: Q | undefined) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const state = { waits: true };
    const run = this.#last.then(() => this.#survive(task, state, signal));
    this.#last = run.catch(() => {});
    return signal ? endedBy(run, signal, state) : run;
  }

  /** Keeps `queued` for the next task. */
  keep(queued: Q): void {
    this.#queued = queued;
  }

  async #survive<T>(
    task: (queued: Q | undefined) => Promise<T>,
    state: { waits: boolean },
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { loss } = this.#host;
    for (let losses = 0; ; losses++) {
      this.#host.check();
      const queued = this.#queued;
      this.#queued = undefined;
      try {
        if (signal?.aborted) {
          if (queued !== undefined) await this.#host.drop(queued);
          throw abortError(signal);
        }
        const before = loss.error;
        await this.#host.restore();
        signal?.throwIfAborted();
        state.waits = false;
        return await task(before ? undefined : queued);
      } catch (error) {
        this.#host.check();
        if (signal?.aborted || isFinal(error) || !(await loss.isGone())) throw error;
        if (losses >= MAX_LOSSES) throw lostAgain(loss.error, losses + 1);
        state.waits = true;
      }
    }
  }
}

export function lostAgain(last: DeviceError | undefined, times: number): DeviceError {
  const message = `${last?.message ?? ""} That happened ${times} times in one go. Load the model again; if it recurs, with a`;
  return new DeviceError(`${message} smaller gpuBudgetBytes.`, { code: "device-lost", cause: last });
}

/** Whether an error is one that no lost device brings about. */
function isFinal(error: unknown): boolean {
  if (error instanceof DOMException && error.name === "AbortError") return true;
  return error instanceof OctavoError && error.name !== "DeviceError";
}

/** What `run` gives, or an `AbortError` as soon as `signal` fires while the task waits: it will not begin then. */
function endedBy<T>(run: Promise<T>, signal: AbortSignal, state: { readonly waits: boolean }): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      if (state.waits) reject(abortError(signal));
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    run.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
