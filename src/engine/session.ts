/**
 * One timeline of tokens and its cache. What every token went through (prefill or decode) is remembered, so that a
 * rewind behind what the rings still hold can run the same steps again and end in the same bits.
 */
import { UsageError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Span } from "../gpu/queue.ts";
import { type Sampling, samplingBytes } from "../kernels/sample.ts";
import { withAdded } from "./counters.ts";
import { type DecodePlan, decodePlan } from "./decode.ts";
import { type StartedStep, unhalt } from "./decode-step.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Parts } from "./parts.ts";
import { type PrefillPlan, prefillPlan } from "./prefill.ts";
import type { Steps } from "./steps.ts";
import type { ResponseStats, Stats } from "./types.ts";

type Phase = "prefill" | "decode";

/** What a session needs of the engine that made it. */
export interface SessionHost {
  readonly parts: Parts;
  readonly steps: Steps;
  stats(): Stats;
  /** Grows when slots change place, which makes recorded plans void. */
  readonly generation: number;
  /** Runs `task` when every earlier one has ended. */
  exclusive<T>(task: () => Promise<T>): Promise<T>;
  /** The same for a task that takes the step queued last, if there is one; other tasks find it dropped. */
  exclusiveDraw<T>(task: (queued: QueuedStep | undefined) => Promise<T>): Promise<T>;
  /** Keeps `step` for the next task. */
  keepQueued(step: QueuedStep): void;
  forget(session: Session): void;
}

/** A step that was submitted before its token was known to the host, and what must be so for it to be of use. */
export interface QueuedStep {
  readonly session: Session;
  readonly step: StartedStep;
  /** The token that it computes, which the step before drew. */
  readonly id: number;
  /** Timeline and sampling that it continues. */
  readonly rewinds: number;
  readonly sampling: Sampling;
}

export class Session {
  readonly contextLength: number;
  readonly #host: SessionHost;
  readonly #kv: KvCache;
  /** [vocab] f32 after the last computed token. */
  readonly #logits: LedgerBuffer;
  #tokens: number[] = [];
  #phases: Phase[] = [];
  /** Tokens whose keys and values are in the cache; the rest of the timeline waits for its next step. */
  #computed = 0;
  /** One past the largest position ever written since the cache was built: what rings may have overwritten. */
  #written = 0;
  /** `#logits` belong to token `#computed - 1`. */
  #logitsFresh = false;
  #plans: { decode: DecodePlan; prefill: PrefillPlan; generation: number } | undefined;
  #rewinds = 0;
  #response: ResponseStats | undefined;
  #disposed = false;

  /** @internal Made by `Engine.createSession`. */
  constructor(host: SessionHost, kv: KvCache, logits: LedgerBuffer, contextLength: number) {
    this.#host = host;
    this.#kv = kv;
    this.#logits = logits;
    this.contextLength = contextLength;
  }

  /** Compiles what the first step needs, so that it does not wait then. @throws DeviceError */
  async prepare(): Promise<void> {
    await this.#currentPlans();
  }

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  get length(): number {
    return this.#tokens.length;
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
    if (!Number.isInteger(length) || length < 0 || length > this.length) {
      throw new UsageError(
        `rewind(${length}): expected a whole number from 0 to the timeline's ${this.length} tokens.`,
      );
    }
    this.#rewinds += 1;
    this.#tokens.length = length;
    this.#phases.length = length;
    if (length >= this.#computed) return;
    this.#computed = this.#ringsReach(length) ? length : 0;
    this.#logitsFresh = false;
  }

  /**
   * Draws the token that follows the timeline; it is not appended. When `more` is going to be drawn after it and steps
   * have been clean, the next step is queued on the GPU before this one is read back; an `append` of another token, or
   * anything else that runs in between, makes it void.
   * @throws UsageError when the timeline is empty.
   */
  async sampleNext(sampling: Sampling, signal?: AbortSignal, more = false): Promise<number> {
    this.#check();
    return this.#host.exclusiveDraw((queued) =>
      this.#accounted(async () => {
        this.#checkBegun();
        const { steps, parts } = this.#host;
        const { decode } = await this.#currentPlans();
        const position = this.length - 1;
        if (queued && this.#continues(queued, decode, sampling)) {
          return this.#finishDraw(queued.step, sampling, signal, more);
        }
        if (queued) await steps.drop(queued.step);
        await this.#catchUp(position, signal);
        if (!this.#logitsFresh || this.#computed < this.length) {
          if (this.#phases[position] === "decode") {
            signal?.throwIfAborted();
            const step = this.#startDraw(decode, this.#tokens[position] ?? 0, position, sampling);
            return this.#finishDraw(step, sampling, signal, more);
          }
          await this.#prefillRun(position, this.length, signal);
        }
        parts.gpu.queue.write(parts.scratch.sampling, 0, samplingBytes(sampling, this.length));
        unhalt(parts);
        const id = firstWord(await parts.gpu.queue.submitAndRead([decode.sample], [this.#drawnToken()]));
        steps.tokenDrawn();
        return id;
      }),
    );
  }

  /**
   * Logits [vocab] that the token after the timeline is drawn from; nothing is appended. What the GPU has of them is not
   * computed again, and a step that was queued ahead is dropped. @throws UsageError when the timeline is empty.
   */
  async nextLogits(signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    this.#check();
    return this.#host.exclusive(() =>
      this.#accounted(async () => {
        this.#checkBegun();
        const { steps, parts } = this.#host;
        await this.#currentPlans();
        const position = this.length - 1;
        const span = { buffer: this.#logits, offset: 0, bytes: this.vocabSize * 4 };
        await this.#catchUp(position, signal);
        if (!this.#logitsFresh || this.#computed < this.length) {
          if (this.#phases[position] === "decode") {
            return new Float32Array(await this.#decodeOne(position, [span], signal));
          }
          await this.#prefillRun(position, this.length, signal);
        }
        const logits = new Float32Array(await parts.gpu.queue.submitAndRead([], [span]));
        steps.tokenDrawn();
        return logits;
      }),
    );
  }

  /** Appends a token that was drawn; the next step computes it, by the decode path. */
  append(id: number): void {
    this.#checkRoom([id]);
    this.#tokens.push(id);
    this.#phases.push("decode");
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#kv.dispose();
    this.#logits.destroy();
    this.#host.forget(this);
  }

  #append(ids: readonly number[], phase: Phase, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    this.#checkRoom(ids);
    return this.#host.exclusive(() =>
      this.#accounted(async () => {
        this.#checkRoom(ids);
        const start = this.length;
        if (phase === "prefill" && this.#phases.at(-1) !== "prefill") this.#response = undefined;
        this.#tokens.push(...ids);
        for (const _ of ids) this.#phases.push(phase);
        try {
          await this.#catchUp(start, signal);
          if (phase === "prefill") this.#host.steps.prefillBegan();
          const span = { buffer: this.#logits, offset: 0, bytes: this.#host.parts.spec.vocabSize * 4 };
          if (phase === "decode") return new Float32Array(await this.#decodeOne(start, [span], signal));
          await this.#prefillRun(start, this.length, signal);
          return new Float32Array(await this.#host.parts.gpu.queue.submitAndRead([], [span]));
        } catch (error) {
          if (!this.#disposed) this.rewind(start); // a step that failed leaves the timeline as it was
          throw error;
        }
      }),
    );
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

  /** Computes what of the first `length` tokens is not in the cache, each token by the path it took first. */
  async #catchUp(length: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#computed < length) {
      const from = this.#computed;
      if (this.#phases[from] === "decode") {
        await this.#decodeOne(from, [], signal);
        continue;
      }
      let to = from + 1;
      while (to < length && this.#phases[to] === "prefill") to += 1;
      await this.#prefillRun(from, to, signal);
    }
  }

  async #decodeOne(position: number, reads: readonly Span[], signal: AbortSignal | undefined): Promise<ArrayBuffer> {
    signal?.throwIfAborted();
    const { decode } = await this.#currentPlans();
    this.#begins(position + 1);
    const { steps } = this.#host;
    const step = steps.start({ plan: decode, id: this.#tokens[position] ?? 0, position, reads });
    const bytes = await steps.finish(step, signal);
    this.#finished(position + 1);
    return bytes;
  }

  /** Submits the step of the token at `position` (`null`: the one that is drawn before it) and the draw of the next. */
  #startDraw(plan: DecodePlan, id: number | null, position: number, sampling: Sampling): StartedStep {
    this.#begins(position + 1);
    const draw = samplingBytes(sampling, position + 1);
    return this.#host.steps.start({ plan, id, position, draw, reads: [this.#drawnToken()] });
  }

  #continues({ session, step, id, rewinds, sampling }: QueuedStep, plan: DecodePlan, now: Sampling): boolean {
    const last = this.length - 1;
    const same = session === this && rewinds === this.#rewinds && step.plan === plan;
    const drawn = step.position === last && id === this.#tokens[last];
    return same && drawn && JSON.stringify(sampling) === JSON.stringify(now);
  }

  /** Sees a drawing step through, and before that queues the next one where that is likely to be of use. */
  async #finishDraw(
    step: StartedStep,
    sampling: Sampling,
    signal: AbortSignal | undefined,
    more: boolean,
  ): Promise<number> {
    const { steps, parts } = this.#host;
    const position = step.position + 1;
    // A ring holds a chunk beyond its window: a queued token takes the place of a key that this one still sees without it.
    const queue = more && steps.expectsClean && position < this.contextLength && parts.sizes.chunk > 1;
    const next = queue ? this.#startDraw(step.plan, null, position, sampling) : undefined;
    try {
      const rounds = steps.counts.decodeRounds;
      const id = firstWord(await steps.finish(step, signal));
      this.#finished(step.position + 1);
      if (!next) return id;
      this.#logitsFresh = false; // they are the next step's
      if (steps.counts.decodeRounds - rounds > 1) await steps.drop(next);
      else this.#host.keepQueued({ session: this, step: next, id, rewinds: this.#rewinds, sampling });
      return id;
    } catch (error) {
      if (next) await steps.drop(next);
      throw error;
    }
  }

  #drawnToken(): Span {
    return { buffer: this.#host.parts.scratch.buffers.ids, offset: 0, bytes: 4 };
  }

  async #prefillRun(from: number, to: number, signal: AbortSignal | undefined): Promise<void> {
    const { chunk } = this.#host.parts.sizes;
    const { prefill } = await this.#currentPlans();
    for (let first = from; first < to; first += chunk) {
      const ids = this.#tokens.slice(first, Math.min(to, first + chunk));
      const last = first + ids.length === to;
      this.#begins(first + ids.length);
      await this.#host.steps.prefill(prefill, ids, first, last, signal);
      this.#finished(first + ids.length);
    }
  }

  /** A step up to `end` writes into the rings from its first layer on, whether or not it comes to its end. */
  #begins(end: number): void {
    this.#written = Math.max(this.#written, end);
    this.#logitsFresh = false;
  }

  #finished(computed: number): void {
    this.#computed = computed;
    this.#logitsFresh = true;
  }

  /** Whether every ring still has what a token at `length` can see. */
  #ringsReach(length: number): boolean {
    if (length === 0) {
      this.#written = 0;
      return true;
    }
    const reach = this.#kv.rings.every(({ window, capacity }) => {
      const oldest = window === null ? 0 : Math.max(0, length - window + 1);
      return oldest >= this.#written - capacity;
    });
    if (!reach) this.#written = 0;
    return reach;
  }

  /** Plans for the slots as they are now, compiled; a resize makes the old ones void. */
  async #currentPlans(): Promise<{ decode: DecodePlan; prefill: PrefillPlan }> {
    const { generation, parts } = this.#host;
    if (this.#plans?.generation !== generation) {
      this.#plans = {
        decode: decodePlan(parts, this.#kv, this.#logits),
        prefill: prefillPlan(parts, this.#kv, this.#logits),
        generation,
      };
      await parts.gpu.pipelines.settled();
    }
    return this.#plans;
  }

  #check(): void {
    if (this.#disposed) throw new UsageError("This session was disposed. Create another one.");
  }

  #checkBegun(): void {
    if (this.length === 0) throw new UsageError("There is nothing to continue: prefill at least one token first.");
  }

  #checkRoom(ids: readonly number[]): void {
    this.#check();
    const { vocabSize } = this.#host.parts.spec;
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new UsageError(`Token id ${id}: expected a whole number from 0 to ${vocabSize - 1}.`);
      }
    }
    if (this.length + ids.length > this.contextLength) {
      throw new UsageError(
        `The timeline has ${this.length} tokens and its context holds ${this.contextLength}; ${ids.length} more do not ` +
          "fit. Rewind it, or create a session with a longer contextLength.",
      );
    }
  }
}

function firstWord(bytes: ArrayBuffer): number {
  return new Uint32Array(bytes, 0, 1)[0] ?? 0;
}
