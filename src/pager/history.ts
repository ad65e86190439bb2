/**
 * Guesses the next MoE layer's experts from routing alone, on the host and without a hidden state: by what followed this
 * layer's experts before, and by what the next layer chose of late. Meant for the slow way, network to disk or memory,
 * where a guess has time. A wrong guess costs bytes, never a result.
 * Source of the method: first-order tables between layers as in published routing studies; the blend is our own.
 */
import { Successors } from "./successors.ts";

/** Lately: uses lose half their weight in this many tokens. */
const LATE_HALF_LIFE_TOKENS = 4;

/** Weight of what a layer chose of late beside what follows the layer before. */
const LATE_WEIGHT = 0.5;

const FADE = 2 ** (-1 / LATE_HALF_LIFE_TOKENS);

export class RoutingHistory {
  /** [MoE layers - 1]: from each layer to the next. */
  readonly #next: readonly Successors[];
  /** Share of late tokens that chose each expert, [MoE layers][experts]. */
  readonly #late: readonly Float64Array[];

  /** `numExperts`: of every MoE layer, in order. Nothing is known before the first `observe`. */
  constructor(numExperts: readonly number[]) {
    this.#next = numExperts.slice(1).map((to, moe) => new Successors(numExperts[moe] ?? 0, to));
    this.#late = numExperts.map((count) => new Float64Array(count));
  }

  /** Bytes of all tables; about experts^2 a layer when every expert has been chosen. */
  get bytes(): number {
    return [...this.#next.map(({ bytes }) => bytes), ...this.#late.map(({ byteLength }) => byteLength)].reduce(
      (a, b) => a + b,
      0,
    );
  }

  /** Learns from one token that is final: the expert ids of every MoE layer, [MoE layers][topK]. */
  observe(step: readonly (readonly number[])[]): void {
    step.forEach((chosen, moe) => {
      const late = this.#late[moe];
      if (!late) throw new RangeError(`MoE layer ${moe} of ${this.#late.length}`);
      for (let expert = 0; expert < late.length; expert++) late[expert] = (late[expert] ?? 0) * FADE;
      for (const expert of chosen) late[expert] = (late[expert] ?? 0) + 1 - FADE;
      this.#next[moe]?.learn(chosen, step[moe + 1] ?? []);
    });
  }

  /**
   * Likely experts of MoE layer `moe + 1` when layer `moe` chose `chosenIds`: at most `guesses`, the likeliest first,
   * equals by id. Experts never seen are not guessed; behind the last layer there is nothing to guess.
   */
  predict(moe: number, chosenIds: readonly number[], guesses: number): number[] {
    const next = this.#next[moe];
    const late = this.#late[moe + 1];
    if (!next || !late) return [];
    const scores = Array.from(late, (lately, id) => ({
      id,
      score: next.frequency(id) > 0 ? next.probability(id, chosenIds) + LATE_WEIGHT * lately : 0,
    }));
    const seen = scores.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score || a.id - b.id);
    return seen.slice(0, guesses).map(({ id }) => id);
  }
}
