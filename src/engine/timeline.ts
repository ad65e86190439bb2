/**
 * The tokens of a session, by which path each was computed, and how much of that the cache holds. What the rings of a
 * sliding window lost is forgotten here, and the session runs the same steps again. No GPU: numbers only.
 */
import { UsageError } from "../errors.ts";
import type { Ring } from "./kv-cache.ts";

export type Phase = "prefill" | "decode";

/** All that a timeline knows, to be gone on with elsewhere. */
export interface TimelineState {
  readonly tokens: readonly number[];
  readonly phases: readonly Phase[];
  /** Tokens that the cache holds, and one past the last position ever written to it. */
  readonly computed: number;
  readonly written: number;
}

export class Timeline {
  /** Most tokens that it can hold. */
  readonly contextLength: number;
  readonly #vocabSize: number;
  readonly #rings: readonly Ring[];
  #tokens: number[] = [];
  #phases: Phase[] = [];
  #computed = 0;
  /** One past the largest position ever written since the cache was built: what rings may have overwritten. */
  #written = 0;
  #logitsFresh = false;
  #rewinds = 0;

  constructor(contextLength: number, vocabSize: number, rings: readonly Ring[]) {
    this.contextLength = contextLength;
    this.#vocabSize = vocabSize;
    this.#rings = rings;
  }

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  get length(): number {
    return this.#tokens.length;
  }

  /** Tokens whose keys and values are in the cache; the rest waits for its next step. */
  get computed(): number {
    return this.#computed;
  }

  /** Whether the session's logits are those of token `computed - 1`. */
  get logitsFresh(): boolean {
    return this.#logitsFresh;
  }

  /** Grows with every rewind. */
  get rewinds(): number {
    return this.#rewinds;
  }

  tokenAt(position: number): number {
    return this.#tokens[position] ?? 0;
  }

  /** By which path the token at `position` is computed; `undefined` behind the end. */
  phaseAt(position: number): Phase | undefined {
    return this.#phases[position];
  }

  /** @throws UsageError for an id outside the vocabulary, and for tokens that do not fit. */
  checkRoom(ids: readonly number[]): void {
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= this.#vocabSize) {
        throw new UsageError(`Token id ${id}: expected a whole number from 0 to ${this.#vocabSize - 1}.`);
      }
    }
    if (this.length + ids.length > this.contextLength) {
      throw new UsageError(
        `The timeline has ${this.length} tokens and its context holds ${this.contextLength}; ${ids.length} more do not ` +
          "fit. Rewind it, or create a session with a longer contextLength.",
        { code: "context-full", details: { contextLength: this.contextLength } },
      );
    }
  }

  append(ids: readonly number[], phase: Phase): void {
    this.#tokens.push(...ids);
    for (const _ of ids) this.#phases.push(phase);
  }

  /** Keeps the first `length` tokens. @throws UsageError for a length that is none of it. */
  rewind(length: number): void {
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

  get state(): TimelineState {
    return {
      tokens: [...this.#tokens],
      phases: [...this.#phases],
      computed: this.#computed,
      written: this.#written,
    };
  }

  /** Goes on from `state`, whose cache is this one's now. */
  restore({ tokens, phases, computed, written }: TimelineState): void {
    this.#rewinds += 1;
    this.#tokens = [...tokens];
    this.#phases = [...phases];
    this.#computed = computed;
    this.#written = written;
    this.#logitsFresh = false;
  }

  /** Nothing is in the cache any more. */
  forget(): void {
    this.#computed = 0;
    this.#written = 0;
    this.#logitsFresh = false;
  }

  /** A step up to `end` writes into the rings from its first layer on, whether or not it comes to its end. */
  begins(end: number): void {
    this.#written = Math.max(this.#written, end);
    this.#logitsFresh = false;
  }

  /** The cache holds the first `computed` tokens, and the logits are the last one's. */
  finished(computed: number): void {
    this.#computed = computed;
    this.#logitsFresh = true;
  }

  /** The logits buffer holds others, or will soon. */
  staleLogits(): void {
    this.#logitsFresh = false;
  }

  /**
   * How many of the first `length` tokens stay computed after a rewind to there: 0 where rings have lost what they need.
   * @param phase count only tokens that took this path, up to the first that did not.
   */
  kept(length: number, phase?: Phase): number {
    const other = phase === undefined ? -1 : this.#phases.findIndex((taken) => taken !== phase);
    const most = Math.min(length, this.#computed, other < 0 ? length : other);
    return this.#reaches(most) ? most : 0;
  }

  /** Whether every ring still has what a token at `length` can see; if not, the cache counts as empty. */
  #ringsReach(length: number): boolean {
    const reach = this.#reaches(length);
    if (!reach || length === 0) this.#written = 0;
    return reach;
  }

  #reaches(length: number): boolean {
    if (length === 0) return true;
    return this.#rings.every(({ window, capacity }) => {
      const oldest = window === null ? 0 : Math.max(0, length - window + 1);
      return oldest >= this.#written - capacity;
    });
  }
}
