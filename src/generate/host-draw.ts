/** Draws from logits that were read back: bias, penalties, constraints, log-probabilities, and what the GPU's draw knows. */
import type { Session } from "../engine/session.ts";
import { UsageError } from "../errors.ts";
import type { Allowed, Held } from "../grammar/types.ts";
import { untilAborted } from "../util/abort.ts";
import { logprobsOf } from "./logprobs.ts";
import { drawId } from "./sample.ts";
import type { CheckedSettings, Drawn } from "./settings.ts";
import { LogitShaper, mask } from "./shape-logits.ts";
import type { ThinkingState } from "./thinking.ts";

export class HostDraw {
  readonly #session: Session;
  readonly #settings: CheckedSettings;
  readonly #stopIds: ReadonlySet<number>;
  readonly #thinking: ThinkingState | undefined;
  readonly #held: Held | undefined;
  readonly #shaper: LogitShaper;
  /** [vocab] each. */
  readonly #scores: Float64Array;
  readonly #spare: Float64Array;

  constructor(
    session: Session,
    settings: CheckedSettings,
    stopIds: ReadonlySet<number>,
    thinking: ThinkingState | undefined,
    held: Held | undefined,
  ) {
    this.#session = session;
    this.#settings = settings;
    this.#stopIds = stopIds;
    this.#thinking = thinking;
    this.#held = held;
    this.#shaper = new LogitShaper(settings, session.tokens);
    this.#scores = new Float64Array(session.vocabSize);
    this.#spare = new Float64Array(session.vocabSize);
  }

  /**
   * The next token, which is `forced` where that is given; `undefined` when the constraint lets nothing follow.
   * @throws UsageError when the vocabulary has no token that the constraint allows; `AbortError`.
   */
  async draw(forced: number | undefined, signal: AbortSignal | undefined): Promise<Drawn | undefined> {
    const { topLogprobs } = this.#settings;
    if (forced !== undefined && topLogprobs === undefined) return { id: forced, forced: true };
    const allowed = forced === undefined && this.#answering ? await this.#allowed(signal) : undefined;
    if (allowed?.mustEnd) return undefined;
    const logits = await this.#session.nextLogits(signal);
    const id = forced ?? this.#choose(logits, allowed);
    if (id === undefined) return undefined;
    return {
      id,
      ...(topLogprobs === undefined ? {} : logprobsOf(logits, id, topLogprobs)),
      ...(forced === undefined ? {} : { forced: true as const }),
    };
  }

  /** `id` is about to become part of the timeline. */
  add(id: number): void {
    this.#shaper.add(id);
    if (this.#answering && !this.#thinking?.markers.includes(id)) this.#held?.accept(id);
  }

  /** Whether the constraint lets nothing follow. @throws `AbortError` */
  async isComplete(signal: AbortSignal | undefined): Promise<boolean> {
    return this.#answering && (await this.#allowed(signal))?.mustEnd === true;
  }

  /** The mask may be a while in coming: another text's grammar is compiled in the same worker. */
  async #allowed(signal: AbortSignal | undefined): Promise<Allowed | undefined> {
    return this.#held && untilAborted(this.#held.allowed(), signal);
  }

  get #answering(): boolean {
    return this.#thinking?.answering ?? true;
  }

  #choose(logits: Float32Array, allowed: Allowed | undefined): number | undefined {
    const scores = this.#scores;
    this.#shaper.shape(logits, scores);
    if (this.#held) this.#restrict(scores, allowed);
    const id = drawId(scores, this.#spare, this.#settings, this.#session.length);
    if (id >= 0) return id;
    if (allowed?.mayEnd) return undefined;
    throw new UsageError(
      this.#held
        ? "The constraint allows nothing that this model's vocabulary can spell here. Widen the constraint."
        : "Every logit is NaN or ruled out by logitBias. Check the model and the settings.",
    );
  }

  /** A thought goes free but must not end the text; in front of the answer only markers come; in it, what is allowed. */
  #restrict(scores: Float64Array, allowed: Allowed | undefined): void {
    const thought = this.#thinking?.free ?? false;
    const besides = [...(allowed?.mayEnd ? this.#stopIds : []), ...(this.#thinking?.markers ?? [])];
    const kept = besides.map((id) => [id, scores[id] ?? Number.NEGATIVE_INFINITY] as const);
    if (allowed) mask(scores, allowed.mask);
    else if (!thought) scores.fill(Number.NEGATIVE_INFINITY);
    for (const id of this.#stopIds) scores[id] = Number.NEGATIVE_INFINITY;
    for (const [id, score] of kept) scores[id] = score;
  }
}
