/**
 * How far a decode step runs on behind a missed expert, and how many experts below the top-k cut it names besides: chosen
 * from what rounds, fetches and misses were measured to cost. Running on costs GPU time and buys round trips, since
 * what later layers seem to want is fetched with what is certain; naming more costs bytes and buys round trips too.
 * A choice changes when a token is ready, never which.
 */
import { LinearCost, RunningMean } from "../util/running.ts";

/** MoE layers to run on for behind the first missing one, and experts below the cut to name in each. */
export interface Reach {
  readonly layers: number;
  readonly hints: number;
}

/** Fixed numbers, or "auto" for what measurement says. */
export interface ReachOptions {
  readonly layers: number | "auto";
  readonly hints: number | "auto";
}

/** Hints tried beside none when the choice is free. */
const AUTO_HINTS = 4;
/** Finished steps between two choices. */
const CHOOSE_EVERY = 8;
/** Every so many choices one runs on to the end, so that what guesses are worth stays known. */
const EXPLORE_EVERY = 16;

/** What a finished round says: it began at MoE layer `from` (-1: with the token), and missed at `missed` (or did not). */
export interface RoundReport {
  readonly from: number;
  readonly missed: number | undefined;
  /** Reach of the round before, whose guesses were fetched. */
  readonly guessed: Reach | undefined;
}

export class RunAhead {
  readonly #numMoe: number;
  readonly #options: ReachOptions;
  /** Milliseconds of a round over the MoE layers that it computed, and of a fetch over its experts. */
  readonly #round = new LinearCost();
  readonly #fetch = new LinearCost();
  /** Chance that a layer misses: unguessed, guessed, guessed with hints. Begun with what the default model showed. */
  readonly #miss = [new RunningMean(0.7), new RunningMean(0.4), new RunningMean(0.3)] as const;
  /** Experts fetched for a missing layer, and for a guessed one without and with hints. */
  readonly #experts = [new RunningMean(4), new RunningMean(3), new RunningMean(5)] as const;
  #reach: Reach;
  #steps = 0;
  #choices = 0;

  constructor(numMoe: number, options: ReachOptions) {
    this.#numMoe = numMoe;
    this.#options = options;
    const { layers, hints } = options;
    this.#reach = {
      layers: layers === "auto" ? numMoe : Math.min(layers, numMoe),
      hints: hints === "auto" ? 0 : hints,
    };
  }

  /** For the next step. */
  get reach(): Reach {
    return this.#reach;
  }

  /** A round that ran alone on the GPU computed `layers` MoE layers in `ms`. */
  roundTook(layers: number, ms: number): void {
    this.#round.add(layers, ms);
  }

  /** What a round over `layers` MoE layers is expected to take, in milliseconds. */
  roundMs(layers: number): number {
    return this.#round.at(layers);
  }

  /** Of a fetch of `experts` so many milliseconds were waited for. */
  fetchTook(experts: number, ms: number): void {
    if (experts > 0) this.#fetch.add(experts, ms);
  }

  /** Experts that were not there of one layer's wants: certain ones, or guesses with so many hints. */
  wanted(missing: number, guess: Reach | undefined): void {
    this.#experts[guess ? kindOf(guess) : 0].add(missing);
  }

  /** What the layers of a round turned out to be: clean up to the one that missed. */
  roundEnded({ from, missed, guessed }: RoundReport): void {
    const last = missed ?? this.#numMoe - 1;
    for (let moe = from + 1; moe <= last; moe++) {
      const kind = guessed && moe - from <= guessed.layers ? kindOf(guessed) : 0;
      this.#miss[kind].add(moe === missed ? 1 : 0);
    }
  }

  /** A token is done: every few of them the choice is made again. */
  stepEnded(): void {
    this.#steps += 1;
    if (this.#steps % CHOOSE_EVERY === 0) this.#reach = this.#choose();
  }

  #choose(): Reach {
    this.#choices += 1;
    const all = this.#numMoe;
    const layers = this.#options.layers === "auto" ? [...powersBelow(all), all] : [Math.min(this.#options.layers, all)];
    const hints = this.#options.hints === "auto" ? [0, AUTO_HINTS] : [this.#options.hints];
    const candidates = layers.flatMap((reach) => hints.map((count) => ({ layers: reach, hints: count })));
    if (this.#choices % EXPLORE_EVERY === 0) return candidates.at(-1) ?? this.#reach;
    const costs = candidates.map((reach) => this.tokenCost(reach));
    return candidates[costs.indexOf(Math.min(...costs))] ?? this.#reach;
  }

  /**
   * Expected milliseconds of one token at this reach: walks the MoE layers with the chance that each misses, which is
   * smaller within reach of the last miss, and charges a miss with the void layers, the fetch and the round trip.
   */
  tokenCost(reach: Reach): number {
    const kind = kindOf(reach);
    const layerMs = this.#round.slope;
    // costs[j]: of the layers from `moe` on, the last miss being j layers back (beyond reach: reach.layers + 1).
    const far = reach.layers + 1;
    let costs = new Float64Array(far + 1);
    for (let moe = this.#numMoe - 1; moe >= 0; moe--) {
      const voided = Math.min(reach.layers, this.#numMoe - 1 - moe);
      const experts = this.#experts[0].value + voided * this.#experts[kind].value;
      const missMs = voided * layerMs + this.#round.intercept + this.#fetch.at(experts) + (costs[1] ?? 0);
      const next = new Float64Array(far + 1);
      for (let back = 1; back <= far; back++) {
        const chance = this.#miss[back < far ? kind : 0].value;
        const cleanMs = costs[Math.min(back + 1, far)] ?? 0;
        next[back] = layerMs + chance * missMs + (1 - chance) * cleanMs;
      }
      costs = next;
    }
    return this.#round.intercept + (costs[far] ?? 0);
  }
}

function kindOf({ layers, hints }: Reach): 0 | 1 | 2 {
  if (layers === 0) return 0;
  return hints === 0 ? 1 : 2;
}

/** 0, 1, 2, 4, … below `limit`. */
function powersBelow(limit: number): number[] {
  const powers = [0];
  for (let power = 1; power < limit; power *= 2) powers.push(power);
  return powers;
}
