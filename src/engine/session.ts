/**
 * One timeline of tokens and its cache. What every token went through (prefill or decode) is remembered, so that a
 * rewind behind what the rings still hold can run the same steps again and end in the same bits.
 */
import { UsageError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Span } from "../gpu/queue.ts";
import { type Sampling, samplingBytes } from "../kernels/sample.ts";
import { type DecodePlan, decodePlan } from "./decode.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Parts } from "./parts.ts";
import { type PrefillPlan, prefillPlan } from "./prefill.ts";
import type { Steps } from "./steps.ts";

type Phase = "prefill" | "decode";

/** What a session needs of the engine that made it. */
export interface SessionHost {
  readonly parts: Parts;
  readonly steps: Steps;
  /** Grows when slots change place, which makes recorded plans void. */
  readonly generation: number;
  /** Runs `task` when every earlier one has ended. */
  exclusive<T>(task: () => Promise<T>): Promise<T>;
  forget(session: Session): void;
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

  /** Bytes of its cache on the GPU. */
  get kvBytes(): number {
    return this.#kv.bytes;
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
    this.#tokens.length = length;
    this.#phases.length = length;
    if (length >= this.#computed) return;
    this.#computed = this.#ringsReach(length) ? length : 0;
    this.#logitsFresh = false;
  }

  /**
   * Draws the token that follows the timeline; it is not appended.
   * @throws UsageError when the timeline is empty.
   */
  async sampleNext(sampling: Sampling, signal?: AbortSignal): Promise<number> {
    this.#check();
    return this.#host.exclusive(async () => {
      if (this.length === 0) throw new UsageError("There is nothing to continue: prefill at least one token first.");
      const { ids } = this.#host.parts.scratch.buffers;
      const token = { buffer: ids, offset: 0, bytes: 4 };
      this.#host.parts.gpu.queue.write(this.#host.parts.scratch.sampling, 0, samplingBytes(sampling, this.length));
      const { decode } = await this.#currentPlans();
      await this.#catchUp(this.length - 1, signal);
      const last = this.#phases[this.length - 1];
      if (!this.#logitsFresh || this.#computed < this.length) {
        if (last === "decode")
          return firstWord(await this.#decodeOne(this.length - 1, [token], [decode.sample], signal));
        await this.#prefillRun(this.length - 1, this.length, signal);
      }
      const id = firstWord(await this.#host.parts.gpu.queue.submitAndRead([decode.sample], [token]));
      this.#host.steps.tokenDrawn();
      return id;
    });
  }

  /** Appends a token that `sampleNext` drew; the next step computes it, by the decode path. */
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
    return this.#host.exclusive(async () => {
      this.#checkRoom(ids);
      const start = this.length;
      this.#tokens.push(...ids);
      for (const _ of ids) this.#phases.push(phase);
      try {
        await this.#catchUp(start, signal);
        if (phase === "prefill") this.#host.steps.prefillBegan();
        const span = { buffer: this.#logits, offset: 0, bytes: this.#host.parts.spec.vocabSize * 4 };
        if (phase === "decode") return new Float32Array(await this.#decodeOne(start, [span], [], signal));
        await this.#prefillRun(start, this.length, signal);
        return new Float32Array(await this.#host.parts.gpu.queue.submitAndRead([], [span]));
      } catch (error) {
        if (!this.#disposed) this.rewind(start); // a step that failed leaves the timeline as it was
        throw error;
      }
    });
  }

  /** Computes what of the first `length` tokens is not in the cache, each token by the path it took first. */
  async #catchUp(length: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#computed < length) {
      const from = this.#computed;
      if (this.#phases[from] === "decode") {
        await this.#decodeOne(from, [], [], signal);
        continue;
      }
      let to = from + 1;
      while (to < length && this.#phases[to] === "prefill") to += 1;
      await this.#prefillRun(from, to, signal);
    }
  }

  async #decodeOne(
    position: number,
    reads: readonly Span[],
    then: readonly DecodePlan["sample"][],
    signal: AbortSignal | undefined,
  ): Promise<ArrayBuffer> {
    const id = this.#tokens[position] ?? 0;
    this.#begins(position + 1);
    const { decode } = await this.#currentPlans();
    const bytes = await this.#host.steps.decode(decode, id, position, reads, then, signal);
    this.#finished(position + 1);
    return bytes;
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
