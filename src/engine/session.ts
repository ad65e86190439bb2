/**
 * One timeline of tokens and its cache: what a caller can do with it, one thing at a time. What every token went through
 * is remembered, so that what has to run again ends in the same bits.
 */
import { UsageError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Sampling } from "../kernels/sample.ts";
import { untilAborted } from "../util/abort.ts";
import { withAdded } from "./counters.ts";
import type { KvCache } from "./kv-cache.ts";
import { type DrawsHost, type QueuedStep, SessionDraws } from "./session-draws.ts";
import { copyState, loadState, saveState } from "./session-state.ts";
import { SessionSteps } from "./session-steps.ts";
import { checkStores, type SnapshotState } from "./snapshot.ts";
import { type Phase, Timeline } from "./timeline.ts";
import type { ResponseStats, Stats } from "./types.ts";

/** What a session needs of the engine that made it. */
export interface SessionHost extends DrawsHost {
  stats(): Stats;
  createSession(contextLength: number, signal?: AbortSignal): Promise<Session>;
  disposeSession(session: Session): Promise<void>;
  /** Runs `task` when every earlier one has ended, and again when the device is lost under it. */
  exclusive<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** The same for a task that takes the step queued last, if there is one; other tasks find it dropped. */
  exclusiveDraw<T>(task: (queued: QueuedStep | undefined) => Promise<T>, signal?: AbortSignal): Promise<T>;
  forget(session: Session): void;
}

export class Session {
  readonly #host: SessionHost;
  readonly #kv: KvCache;
  /** [vocab] f32 after the last computed token. */
  readonly #logits: LedgerBuffer;
  readonly #timeline: Timeline;
  readonly #steps: SessionSteps;
  readonly #draws: SessionDraws;
  #response: ResponseStats | undefined;
  #disposed = false;

  /** @internal Made by `Engine.createSession`. */
  constructor(host: SessionHost, kv: KvCache, logits: LedgerBuffer, contextLength: number) {
    this.#host = host;
    this.#kv = kv;
    this.#logits = logits;
    this.#timeline = new Timeline(contextLength, host.parts.spec.vocabSize, kv.rings);
    this.#steps = new SessionSteps(host, this.#timeline, kv, logits);
    this.#draws = new SessionDraws(host, this.#timeline, this.#steps);
  }

  /** Compiles what the first step needs, so that it does not wait then. @throws DeviceError; `AbortError` */
  async prepare(signal?: AbortSignal): Promise<void> {
    await this.#steps.plans(signal);
  }

  /** Most tokens that its timeline can hold. */
  get contextLength(): number {
    return this.#timeline.contextLength;
  }

  get tokens(): readonly number[] {
    return this.#timeline.tokens;
  }

  get length(): number {
    return this.#timeline.length;
  }

  /** Ids are below it. */
  get vocabSize(): number {
    return this.#host.parts.spec.vocabSize;
  }

  /** Bytes of its cache on the GPU. */
  get kvBytes(): number {
    return this.#kv.bytes;
  }

  /** Counters of the response that is under way or was given last; `undefined` before the first. */
  get response(): ResponseStats | undefined {
    return this.#response;
  }

  /** Appends `ids`, by the prefill path. @returns logits [vocab] after the last. */
  async prefill(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    if (ids.length === 0) throw new UsageError("prefill needs at least one token id.");
    return this.#append(ids, "prefill", signal);
  }

  /** Appends `id`, by the decode path. @returns logits [vocab] after it. */
  async decode(id: number, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    return this.#append([id], "decode", signal);
  }

  /** Keeps the first `length` tokens. What the rings lost is computed again by the next step. */
  rewind(length: number): void {
    this.#check();
    this.#timeline.rewind(length);
  }

  /** How many of the first `length` tokens a rewind to there would keep computed; see `Timeline`. */
  kept(length: number, phase?: Phase): number {
    return this.#timeline.kept(length, phase);
  }

  /** The counters of a response begin at nothing. A prefill after generated tokens does the same by itself. */
  beginResponse(): void {
    this.#response = undefined;
  }

  /**
   * Draws the token that follows the timeline; it is not appended. When `more` is going to be drawn after it and steps
   * have been clean, the next step is queued on the GPU before this one is read back; an `append` of another token, or
   * anything else that runs in between, makes it void.
   * @throws UsageError when the timeline is empty.
   */
  async sampleNext(sampling: Sampling, signal?: AbortSignal, more = false): Promise<number> {
    this.#check();
    return this.#host.exclusiveDraw(
      (queued) =>
        this.#accounted(async () => {
          this.#checkBegun();
          return this.#draws.draw(queued, sampling, signal, more);
        }),
      signal,
    );
  }

  /**
   * Logits [vocab] that the token after the timeline is drawn from; nothing is appended. What the GPU has of them is not
   * computed again, and a step that was queued ahead is dropped. @throws UsageError when the timeline is empty.
   */
  async nextLogits(signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    this.#check();
    const task = () =>
      this.#accounted(async () => {
        this.#checkBegun();
        const { steps, parts } = this.#host;
        const timeline = this.#timeline;
        const position = this.length - 1;
        const span = { buffer: this.#logits, offset: 0, bytes: this.vocabSize * 4 };
        await this.#steps.catchUp(position, signal);
        if (!timeline.logitsFresh || timeline.computed < this.length) {
          if (timeline.phaseAt(position) === "decode") {
            return new Float32Array(await this.#steps.decodeOne(position, [span], signal));
          }
          await this.#steps.prefillRun(position, this.length, signal);
        }
        const logits = new Float32Array(await parts.gpu.queue.submitAndRead([], [span]));
        steps.tokenDrawn();
        return logits;
      });
    return this.#host.exclusive(task, signal);
  }

  /** Appends a token that was drawn; the next step computes it, by the decode path. */
  append(id: number): void {
    this.#checkRoom([id]);
    this.#timeline.append([id], "decode");
  }

  /**
   * The session as bytes, for `Engine.restoreSession`; what the timeline waits for is computed first.
   * @throws `AbortError`, and leaves everything as it was.
   */
  save(signal?: AbortSignal): Promise<ArrayBuffer> {
    this.#check();
    return this.#host.exclusive(async () => {
      this.#check();
      await this.#steps.catchUp(this.length, signal);
      return saveState(this.#host.parts, this.#kv, this.#timeline.state, this.contextLength, signal);
    }, signal);
  }

  /** Another session with the same timeline, its cache copied on the GPU. @throws BudgetError; `AbortError`. */
  async fork(signal?: AbortSignal): Promise<Session> {
    this.#check();
    const other = await this.#host.createSession(this.contextLength, signal);
    try {
      await this.#host.exclusive(async () => {
        this.#check();
        const { state } = this.#timeline;
        copyState(this.#host.parts, this.#kv, other.#kv, state);
        other.#timeline.restore(state);
      }, signal);
      return other;
    } catch (error) {
      await untilAborted(this.#host.disposeSession(other), signal).catch(() => {}); // a model that was disposed has freed it
      throw error;
    }
  }

  /** @internal Goes on from a snapshot whose cache is cut as this one. */
  load(state: SnapshotState, rows: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void> {
    return this.#host.exclusive(async () => {
      checkStores(state.stores, this.#kv.stores);
      await loadState(this.#host.parts, this.#kv, state, rows, signal);
      this.#timeline.restore(state);
    }, signal);
  }

  /**
   * Appends `ids` by the prefill path.
   * @returns the sum over them of the hidden states behind the final norm, [hiddenSize].
   */
  sumHidden(ids: readonly number[], signal?: AbortSignal): Promise<Float64Array> {
    return this.#appended(ids, "prefill", signal, (start) => this.#steps.sumHidden(start, this.length, signal));
  }

  /** @internal Its cache was lost with its device: the next step computes the timeline again. */
  forgetCache(): void {
    this.#timeline.forget();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#kv.dispose();
    this.#logits.destroy();
    this.#host.forget(this);
  }

  #append(ids: readonly number[], phase: Phase, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    return this.#appended(ids, phase, signal, async (start) => {
      const { parts, steps } = this.#host;
      if (phase === "prefill") steps.prefillBegan();
      const span = { buffer: this.#logits, offset: 0, bytes: parts.spec.vocabSize * 4 };
      if (phase === "decode") return new Float32Array(await this.#steps.decodeOne(start, [span], signal));
      await this.#steps.prefillRun(start, this.length, signal);
      return new Float32Array(await parts.gpu.queue.submitAndRead([], [span]));
    });
  }

  /** Appends `ids` and lets `compute` run them from position `start` on; when it fails, the timeline is as it was. */
  #appended<T>(
    ids: readonly number[],
    phase: Phase,
    signal: AbortSignal | undefined,
    compute: (start: number) => Promise<T>,
  ): Promise<T> {
    this.#checkRoom(ids);
    const task = () =>
      this.#accounted(async () => {
        this.#checkRoom(ids);
        const start = this.length;
        if (phase === "prefill" && this.#timeline.phaseAt(start - 1) !== "prefill") this.#response = undefined;
        this.#timeline.append(ids, phase);
        try {
          await this.#steps.catchUp(start, signal);
          return await compute(start);
        } catch (error) {
          if (!this.#disposed) this.rewind(start);
          throw error;
        }
      });
    return this.#host.exclusive(task, signal);
  }

  /** Counts what `task` costs to this session's response. */
  async #accounted<T>(task: () => Promise<T>): Promise<T> {
    const before = this.#host.stats();
    try {
      return await task();
    } finally {
      this.#response = withAdded(this.#response, before, this.#host.stats());
    }
  }

  #check(): void {
    if (this.#disposed) throw new UsageError("This session was disposed. Create another one.", { code: "disposed" });
  }

  #checkBegun(): void {
    if (this.length === 0) throw new UsageError("There is nothing to continue: prefill at least one token first.");
  }

  #checkRoom(ids: readonly number[]): void {
    this.#check();
    this.#timeline.checkRoom(ids);
  }
}
