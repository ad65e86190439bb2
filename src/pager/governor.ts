/**
 * Says what other numbers of slots would do. It keeps, for every MoE layer, its experts in order of last use; how deep an
 * expert lies when it is chosen is the least number of slots with which LRU would have held it (Mattson's stack distance).
 * One pass so gives LRU's hit rate at every capacity at once, exactly; events stand whole, as in replay.ts. Experts of a
 * layer are few, so every event is counted and none sampled. Pure: it decides nothing and moves nothing.
 *
 * For other policies than LRU the answer is an estimate: their miss rate, measured at the present slots, is carried to
 * others in proportion to LRU's. On the three traces of the tests that is within 1.5 points of a replay.
 */

/** The window: what was seen loses half its weight in this many tokens. */
const HALF_LIFE_TOKENS = 128;

/** The capacities that are weighed: a quarter more and a quarter fewer slots, rounded to fewer, one at least. */
const STEP_SHARE = 0.25;

/** What one token leaves of the weight of those before it. */
export const WINDOW_FADE = 2 ** (-1 / HALF_LIFE_TOKENS);

/** Hit rate that a quarter more slots must add to be worth their bytes. */
const WORTH_MORE = 0.02;

/** Hit rate that a quarter of the slots may cost to be given up. */
const WORTH_FEWER = 0.005;

/** Tokens before there is advice: a cold start looks like a want of slots. */
const ENOUGH_TOKENS = 64;

/** What a number of slots a layer is expected to do. */
export interface CapacityEstimate {
  readonly slots: number;
  /** Share of choices expected to be resident, 0 to 1. */
  readonly hitRate: number;
  /** Experts expected to be fetched for a token, over all layers. */
  readonly loadsPerToken: number;
}

/** What other numbers of slots would do, by the routing seen of late. */
export interface Advice {
  /** "more" would help, "fewer" would do, "keep", or "unknown" when too little has been seen. */
  readonly verdict: "more" | "fewer" | "keep" | "unknown";
  readonly now: CapacityEstimate;
  readonly fewer: CapacityEstimate;
  readonly more: CapacityEstimate;
}

export class Governor {
  readonly #layers: readonly DepthCounts[];
  readonly #fade: number;
  /** Tokens in the window, faded. */
  #tokens = 0;
  #tokensSeen = 0;

  /** `numExperts`: of every MoE layer, in order. `halfLifeTokens`: of the window; Infinity keeps all that was seen. */
  constructor(numExperts: readonly number[], halfLifeTokens = HALF_LIFE_TOKENS) {
    this.#fade = 2 ** (-1 / halfLifeTokens);
    this.#layers = numExperts.map((count) => new DepthCounts(count, this.#fade));
  }

  /** One decoded token: the expert ids of every MoE layer, [MoE layers][topK]. */
  observe(step: readonly (readonly number[])[]): void {
    this.#tokens = this.#tokens * this.#fade + 1;
    this.#tokensSeen += 1;
    for (const [moe, chosen] of step.entries()) {
      const layer = this.#layers[moe];
      if (!layer) throw new RangeError(`MoE layer ${moe} of ${this.#layers.length}`);
      layer.add(chosen);
    }
  }

  /** LRU's hit rate over the window with `slots` a layer, 0 to 1: exact, and 0 before anything was seen. */
  lruHitRate(slots: number): number {
    const picks = this.#sum((layer) => layer.picks);
    return picks > 0 ? this.#sum((layer) => layer.hitsWithin(slots)) / picks : 0;
  }

  /**
   * What `slots` a layer would do, where `present` slots have had the hit rate `measured` over the window. Without
   * `measured` the policy is taken to be LRU.
   */
  estimate(slots: number, present: number, measured = this.lruHitRate(present)): CapacityEstimate {
    const presentMisses = 1 - this.lruHitRate(present);
    const ratio = presentMisses > 0 ? (1 - measured) / presentMisses : 1;
    const missRate = Math.min(1, (1 - this.lruHitRate(slots)) * ratio);
    const picksPerToken = this.#tokens > 0 ? this.#sum((layer) => layer.picks) / this.#tokens : 0;
    return { slots, hitRate: 1 - missRate, loadsPerToken: missRate * picksPerToken };
  }

  /** Weighs a quarter more and a quarter fewer slots than `present`, of which no layer uses more than its experts. */
  advise(present: number, measured?: number): Advice {
    const most = Math.max(1, ...this.#layers.map(({ numExperts }) => numExperts));
    const step = Math.max(1, Math.floor(present * STEP_SHARE));
    const at = (slots: number) => this.estimate(Math.max(1, Math.min(most, slots)), present, measured);
    const [now, fewer, more] = [at(present), at(present - step), at(present + step)];
    return { verdict: this.#verdict(now, fewer, more), now, fewer, more };
  }

  #verdict(now: CapacityEstimate, fewer: CapacityEstimate, more: CapacityEstimate): Advice["verdict"] {
    if (this.#tokensSeen < ENOUGH_TOKENS) return "unknown";
    if (more.hitRate - now.hitRate >= WORTH_MORE) return "more";
    return fewer.slots < now.slots && now.hitRate - fewer.hitRate <= WORTH_FEWER ? "fewer" : "keep";
  }

  #sum(of: (layer: DepthCounts) => number): number {
    return this.#layers.reduce((sum, layer) => sum + of(layer), 0);
  }
}

/** How deep one layer's choices lay in the order of last use. */
class DepthCounts {
  readonly numExperts: number;
  readonly #fade: number;
  /** Experts, the last used first. Of one event the highest id is the first: it would go last. */
  #order: number[] = [];
  /** Choices found at each depth [numExperts], faded. */
  readonly #atDepth: Float64Array;
  /** All choices, those of experts never used before among them, faded. */
  #picks = 0;

  constructor(numExperts: number, fade: number) {
    this.numExperts = numExperts;
    this.#fade = fade;
    this.#atDepth = new Float64Array(numExperts);
  }

  get picks(): number {
    return this.#picks;
  }

  /** Choices that lay among the first `slots`. */
  hitsWithin(slots: number): number {
    return this.#atDepth.subarray(0, slots).reduce((sum, hits) => sum + hits, 0);
  }

  add(chosen: readonly number[]): void {
    for (const [depth, hits] of this.#atDepth.entries()) this.#atDepth[depth] = hits * this.#fade;
    this.#picks = this.#picks * this.#fade + chosen.length;
    for (const [depth, expert] of this.#order.entries()) {
      if (chosen.includes(expert)) this.#atDepth[depth] = (this.#atDepth[depth] ?? 0) + 1;
    }
    const others = this.#order.filter((expert) => !chosen.includes(expert));
    this.#order = [...[...chosen].sort((a, b) => b - a), ...others];
  }
}
