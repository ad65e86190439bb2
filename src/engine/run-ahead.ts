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

/** Numbers of hints to choose from when the choice is free. */
const AUTO_HINTS = [0, 4, 8];
/** Finished steps between two choices. */
const CHOOSE_EVERY = 8;
/** Every so many choices one runs on to the end, by turns with each number of hints: what guesses are worth stays known. */
const EXPLORE_EVERY = 16;

/** Waits tell apart what few and many experts cost, which differs little on far links: they are remembered longer. */
const WAIT_MEMORY = 0.98;
/** What nobody has tried yet may be worth more than it seems. */
const UNTRIED = 0.8;

/** What a finished round says: it began at MoE layer `from` (-1: with the token), and missed at `missed` (or did not). */
export interface RoundReport {
  readonly from: number;
  readonly missed: number | undefined;
  /** Reach of the round before, whose guesses were fetched. */
  readonly guessed: Reach | undefined;
}

/**
 * What was seen of layers: the chance that one misses, how many experts are fetched for it, and the milliseconds that a miss
 * then waits over the experts fetched. What a guessed layer lacks may be on its way, so that it waits less than others.
 */
class Seen {
  readonly miss: RunningMean;
  readonly experts: RunningMean;
  readonly wait = new LinearCost(WAIT_MEMORY);

  constructor(miss: number, experts: number) {
    this.miss = new RunningMean(miss);
    this.experts = new RunningMean(experts);
  }
}

export class RunAhead {
  readonly #numMoe: number;
  readonly #options: ReachOptions;
  /** Milliseconds of a round over the MoE layers that it computed. */
  readonly #round = new LinearCost();
  /** Layers that nobody guessed, and guessed ones by their number of hints. Begun with what the default model showed. */
  readonly #unguessed = new Seen(0.7, 4);
  readonly #guessed = new Map<number, Seen>();
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

  /** A layer missed that nobody had guessed, or that was `guessed` at this reach: so long the fetch was waited for. */
  fetchTook(experts: number, ms: number, guessed: Reach | undefined): void {
    if (experts > 0) this.#seen(guessed).wait.add(experts, ms);
  }

  /** Experts that were not there of one layer's wants: certain ones, or guesses with so many hints. */
  wanted(missing: number, guess: Reach | undefined): void {
    this.#seen(guess).experts.add(missing);
  }

  /** What the layers of a round turned out to be: clean up to the one that missed. */
  roundEnded({ from, missed, guessed }: RoundReport): void {
    const last = missed ?? this.#numMoe - 1;
    for (let moe = from + 1; moe <= last; moe++) {
      this.#seen(guessed && moe - from <= guessed.layers ? guessed : undefined).miss.add(moe === missed ? 1 : 0);
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
    const hints = this.#options.hints === "auto" ? AUTO_HINTS : [this.#options.hints];
    if (this.#choices % EXPLORE_EVERY === 0) {
      return { layers: layers.at(-1) ?? 0, hints: hints[(this.#choices / EXPLORE_EVERY) % hints.length] ?? 0 };
    }
    const candidates = layers.flatMap((reach) => hints.map((count) => ({ layers: reach, hints: count })));
    const costs = candidates.map((reach) => this.tokenCost(reach) * (this.#isTried(reach) ? 1 : UNTRIED));
    return candidates[costs.indexOf(Math.min(...costs))] ?? this.#reach;
  }

  /**
   * Expected milliseconds of one token at this reach: walks the MoE layers with the chance that each misses, which is
   * smaller within reach of the last miss, and charges a miss with the void layers, the wait and the round trip.
   */
  tokenCost(reach: Reach): number {
    const guessed = this.#seen(reach);
    const unguessed = this.#unguessed;
    const layerMs = this.#round.slope;
    // costs[j]: of the layers from `moe` on, the last miss being j layers back (beyond reach: reach.layers + 1).
    const far = reach.layers + 1;
    let costs = new Float64Array(far + 1);
    for (let moe = this.#numMoe - 1; moe >= 0; moe--) {
      const voided = Math.min(reach.layers, this.#numMoe - 1 - moe);
      const experts = unguessed.experts.value + voided * guessed.experts.value;
      const againMs = voided * layerMs + this.#round.intercept + (costs[1] ?? 0);
      const next = new Float64Array(far + 1);
      for (let back = 1; back <= far; back++) {
        const layer = back < far ? guessed : unguessed;
        const missMs = againMs + (layer.wait.isEmpty ? unguessed : layer).wait.at(experts);
        const chance = layer.miss.value;
        const cleanMs = costs[Math.min(back + 1, far)] ?? 0;
        next[back] = layerMs + chance * missMs + (1 - chance) * cleanMs;
      }
      costs = next;
    }
    return this.#round.intercept + (costs[far] ?? 0);
  }

  #isTried(reach: Reach): boolean {
    return reach.layers === 0 || !this.#seen(reach).wait.isEmpty;
  }

  #seen(guess: Reach | undefined): Seen {
    if (!guess || guess.layers === 0) return this.#unguessed;
    const { hints } = guess;
    const seen = this.#guessed.get(hints) ?? new Seen(0.4 / (1 + hints / 12), 3 + hints / 2);
    this.#guessed.set(hints, seen);
    return seen;
  }
}

/** 0, 1, 2, 4, … below `limit`. */
function powersBelow(limit: number): number[] {
  const powers = [0];
  for (let power = 1; power < limit; power *= 2) powers.push(power);
  return powers;
}
