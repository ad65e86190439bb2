/**
 * What the settings make of the model's logits before anything is drawn, in this order: bias, the repetition penalty, the
 * presence and frequency penalties, and what must not come at all.
 */
import type { CheckedSettings } from "./settings.ts";

type Shaping = Pick<CheckedSettings, "logitBias" | "presencePenalty" | "frequencyPenalty" | "repetitionPenalty">;

export class LogitShaper {
  readonly #settings: Shaping;
  /** Times that this generation drew or wrote an id. */
  readonly #counts = new Map<number, number>();
  /** Ids of the timeline. */
  readonly #seen: Set<number>;

  /** @param timeline ids that the generation continues. */
  constructor(settings: Shaping, timeline: readonly number[]) {
    this.#settings = settings;
    this.#seen = new Set(settings.repetitionPenalty === 1 ? [] : timeline);
  }

  /** `id` has become part of the timeline. */
  add(id: number): void {
    const { presencePenalty, frequencyPenalty, repetitionPenalty } = this.#settings;
    if (presencePenalty !== 0 || frequencyPenalty !== 0) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    if (repetitionPenalty !== 1) this.#seen.add(id);
  }

  /** Fills `scores` [vocab] from `logits` [vocab]. What is no number is never drawn. */
  shape(logits: Float32Array, scores: Float64Array): void {
    const { logitBias, presencePenalty, frequencyPenalty, repetitionPenalty } = this.#settings;
    for (let id = 0; id < scores.length; id++) {
      const logit = logits[id] ?? Number.NaN;
      scores[id] = Number.isNaN(logit) ? Number.NEGATIVE_INFINITY : logit;
    }
    const change = (id: number, changed: (score: number) => number): void => {
      scores[id] = changed(scores[id] ?? 0);
    };
    for (const [id, bias] of logitBias) change(id, (score) => score + bias);
    for (const id of this.#seen) {
      change(id, (score) => (score > 0 ? score / repetitionPenalty : score * repetitionPenalty));
    }
    for (const [id, count] of this.#counts) {
      change(id, (score) => score - presencePenalty - count * frequencyPenalty);
    }
  }
}

/** Rules out ids whose bit in `allowed` is 0: bit id % 32 of word id / 32. */
export function mask(scores: Float64Array, allowed: Int32Array): void {
  for (let id = 0; id < scores.length; id++) {
    if ((((allowed[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 0) scores[id] = Number.NEGATIVE_INFINITY;
  }
}
