/** The caller's side of one timeline: a handle on what lives with the engine. A generation is pulled token by token. */
import type { Border } from "./border.ts";
import type { OpenedSession } from "./protocol.ts";
import type { Drawn, FinishReason, GenerateOptions, ResponseStats, SessionSnapshot } from "./types.ts";

/** One timeline of tokens with its KV cache. Made by `Model.createSession`; ends with `dispose`. */
export class Session {
  /** Most tokens the timeline can hold. */
  readonly contextLength: number;
  readonly #border: Border;
  readonly #id: number;

  /** @internal */
  constructor(border: Border, { sessionId, contextLength }: OpenedSession) {
    this.#border = border;
    this.#id = sessionId;
    this.contextLength = contextLength;
  }

  /**
   * The session as bytes, to be kept anywhere and given to `Model.restoreSession` later. Tokens that were appended but not
   * computed yet are computed first. @throws `AbortError` when `options.signal` fires.
   */
  save(options: { signal?: AbortSignal } = {}): Promise<SessionSnapshot> {
    return this.#border.call(options.signal, (host, callId) => host.saveSession(this.#id, callId));
  }

  /** Another session with the same timeline, its cache copied on the GPU. @throws BudgetError; `AbortError`. */
  async fork(options: { signal?: AbortSignal } = {}): Promise<Session> {
    const opened = await this.#border.call(options.signal, (host, callId) => host.forkSession(this.#id, callId));
    return new Session(this.#border, opened);
  }

  /**
   * Appends `tokenIds` (one or more) to the timeline.
   * @returns logits [vocabSize] after the last of them.
   * @throws UsageError for an id outside the vocabulary or a timeline that would outgrow `contextLength`.
   */
  prefill(tokenIds: readonly number[], options: { signal?: AbortSignal } = {}): Promise<Float32Array> {
    const ids = Array.from(tokenIds);
    return this.#border.call(options.signal, (host, callId) => host.prefill(this.#id, ids, callId));
  }

  /** Appends one token, by the decode path. @returns logits [vocabSize] after it. */
  decode(tokenId: number, options: { signal?: AbortSignal } = {}): Promise<Float32Array> {
    return this.#border.call(options.signal, (host, callId) => host.decode(this.#id, tokenId, callId));
  }

  /** Keeps the first `length` tokens of the timeline and forgets the rest. */
  rewind(length: number): Promise<void> {
    return this.#border.call(undefined, (host) => host.rewind(this.#id, length));
  }

  /** The token ids of the timeline. */
  tokens(): Promise<number[]> {
    return this.#border.call(undefined, (host) => host.tokens(this.#id));
  }

  /** Counters of the response under way or given last: since the first prefill after the last one; `null` before any. */
  stats(): Promise<ResponseStats | null> {
    return this.#border.call(undefined, (host) => host.sessionStats(this.#id));
  }

  /**
   * Continues the timeline, one sampled id at a time; every id given is part of the timeline, and leaving the loop
   * early leaves the rest ungenerated. Ends at a stop id (not given) or with what `constraint` asks for complete, and
   * returns "stop" then; at `maxTokens` or when the context is full it returns "length".
   * @throws UsageError for an option out of range or a constraint that cannot be held to; `AbortError` within one step of
   * `options.signal` firing.
   */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<number, FinishReason, undefined> {
    const drawn = this.generateTokens(options);
    try {
      for (;;) {
        const { value, done } = await drawn.next();
        if (done) return value;
        yield value.id;
      }
    } finally {
      await drawn.return("stop");
    }
  }

  /** As `generate`, with what is known of each token: its log-probabilities where `topLogprobs` asks for them. */
  async *generateTokens(options: GenerateOptions = {}): AsyncGenerator<Drawn, FinishReason, undefined> {
    const { signal, ...wire } = options;
    signal?.throwIfAborted();
    const generation = await this.#border.call(undefined, (host) => host.generate(this.#id, wire));
    try {
      for (;;) {
        const next = await this.#border.call<Drawn | FinishReason>(signal, async (host, callId) =>
          host.generateNext(generation, callId),
        );
        if (typeof next === "string") return next;
        yield next;
      }
    } finally {
      if (!this.#border.closed) await this.#border.call(undefined, (host) => host.generateReturn(generation));
    }
  }

  /** Frees the KV cache. A second call does nothing. */
  dispose(): Promise<void> {
    if (this.#border.closed) return Promise.resolve();
    return this.#border.call(undefined, (host) => host.disposeSession(this.#id));
  }
}
