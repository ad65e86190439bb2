/**
 * How far a decode step runs on behind a missed expert, and how many experts below the top-k cut it names besides: chosen
 * from what rounds, fetches and misses were measured to cost. Running on costs GPU time and buys round trips, since
 * what later layers seem to want is fetched with what is certain; naming more costs bytes and buys round trips too.
 * Beyond its end a step runs on into the token that it seems to draw, while it waits (`scout.ts`). A choice changes when a
 * token is ready, never which.
 */
import { LinearCost, RunningMean } from "../util/running.ts";

export interface Reach {
  /** MoE layers to run on for behind the first missing one. As many more than the model has are run of the next token. */
  readonly layers: number;
  /** Experts below the top-k cut to name in each layer of this token. */
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
/** Which is that of this token or the next: the one that is nearer to the last choice, and every so many times the other. */
const EXPLORE_OTHER_EVERY = 7;

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
  /**
   * Layers that nobody guessed, that a scout did, and that the token itself guessed by the way it did. Begun with what the
   * default model showed.
   */
  readonly #unguessed = new Seen(0.7, 4);
  readonly #scouted = new Seen(0.5, 2);
  readonly #guessed = new Map<string, Seen>();
  /** MoE layers of this token that a scout has guessed, and of the next one. */
  #scoutedLayers = 0;
  #scoutedNext = 0;
  /** Some step since the last choice could run on into its next token. */
  #mayScout = false;
  #reach: Reach;
  #steps = 0;
  #choices = 0;

  constructor(numMoe: number, options: ReachOptions) {
    this.#numMoe = numMoe;
    this.#options = options;
    const { layers, hints } = options;
    this.#reach = {
      layers: Math.min(layers === "auto" ? numMoe : layers, 2 * numMoe),
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

  /** The fetch behind a round that missed was waited for so long. */
  fetchTook(report: RoundReport, experts: number, ms: number): void {
    if (experts > 0) this.#seenAt(report, report.missed ?? 0).wait.add(experts, ms);
  }

  /** Experts that were not there of one layer's wants: certain ones, or guesses with so many hints. */
  wanted(missing: number, guess: Reach | undefined): void {
    this.#seen(guess).experts.add(missing);
  }

  /** A scout named the wants of the next token's first `layers` MoE layers. */
  scouted(layers: number): void {
    this.#scoutedNext = layers;
  }

  /** What the layers of a round turned out to be: clean up to the one that missed. */
  roundEnded(report: RoundReport): void {
    const { from, missed } = report;
    const last = missed ?? this.#numMoe - 1;
    for (let moe = from + 1; moe <= last; moe++) this.#seenAt(report, moe).miss.add(moe === missed ? 1 : 0);
  }

  /** A token is done, and a scout `mayScout` behind it: every few of them the choice is made again. */
  stepEnded(mayScout: boolean): void {
    this.#scoutedLayers = this.#scoutedNext;
    this.#scoutedNext = 0;
    this.#mayScout ||= mayScout;
    this.#steps += 1;
    if (this.#steps % CHOOSE_EVERY > 0) return;
    this.#reach = this.#choose();
    this.#mayScout = false;
  }

  #choose(): Reach {
    this.#choices += 1;
    const all = this.#numMoe;
    const { layers, hints } = this.#options;
    const counts = hints === "auto" ? AUTO_HINTS : [hints];
    const reaches = (ahead: number, most = counts.length) =>
      counts.slice(0, most).map((count) => ({ layers: ahead, hints: count }));
    if (layers !== "auto") return this.#cheapest(reaches(this.#reach.layers));
    const within = [...powersBelow(all), all].flatMap((ahead) => reaches(ahead));
    const beyond = reaches(2 * all, 2); // a scout says more for its bytes than many hints
    if (this.#choices % EXPLORE_EVERY === 0) {
      const turn = this.#choices / EXPLORE_EVERY;
      const isOther = turn % EXPLORE_OTHER_EVERY === 0;
      const ends = this.#mayScout && this.#reach.layers > all !== isOther ? beyond : reaches(all);
      return ends[turn % ends.length] ?? this.#reach;
    }
    return this.#cheapest(this.#mayScout ? [...within, ...beyond] : within);
  }

  #cheapest(candidates: readonly Reach[]): Reach {
    const costs = candidates.map((reach) => this.tokenCost(reach) * (this.#isTried(reach) ? 1 : UNTRIED));
    return candidates[costs.indexOf(Math.min(...costs))] ?? this.#reach;
  }

  /**
   * Expected milliseconds of one token at this reach: walks the MoE layers with the chance that each misses, which is
   * smaller within reach of the last miss and where a scout went before, and charges a miss with the void layers, the wait
   * and the round trip. A scout runs while experts are waited for; it costs what it takes longer.
   */
  tokenCost(reach: Reach): number {
    const guessed = this.#seen(reach);
    const [unguessed, scouted] = [this.#unguessed, this.#scouted];
    const layerMs = this.#round.slope;
    const next = Math.max(0, reach.layers - this.#numMoe);
    const scoutMs = next > 0 ? this.#round.at(next) : 0;
    const within = Math.min(reach.layers, this.#numMoe);
    // costs[j]: of the layers from `moe` on, the last miss being j layers back (beyond reach: within + 1).
    const far = within + 1;
    let costs = new Float64Array(far + 1);
    // Of a token that a scout went before: the cost while nothing has missed, and the chance that nothing does.
    let scoutedMs = 0;
    let [cleanChance, cleanScouted] = [1, 1];
    for (let moe = this.#numMoe - 1; moe >= 0; moe--) {
      const voided = Math.min(within, this.#numMoe - 1 - moe);
      const experts = unguessed.experts.value + voided * guessed.experts.value;
      const againMs = voided * layerMs + this.#round.intercept + (costs[1] ?? 0);
      const layerCost = (seen: Seen, cleanMs: number): number => {
        const waitMs = (seen.wait.isEmpty ? unguessed : seen).wait.at(experts);
        const chance = seen.miss.value;
        return layerMs + chance * (againMs + Math.max(waitMs, scoutMs)) + (1 - chance) * cleanMs;
      };
      const first = moe < next ? scouted : unguessed;
      scoutedMs = layerCost(first, scoutedMs);
      cleanScouted *= 1 - first.miss.value;
      cleanChance *= 1 - unguessed.miss.value;
      const after = new Float64Array(far + 1);
      for (let back = 1; back <= far; back++) {
        after[back] = layerCost(back < far ? guessed : unguessed, costs[Math.min(back + 1, far)] ?? 0);
      }
      costs = after;
    }
    // A scout goes before a token when the one in front of it misses.
    const missChance = 1 - cleanChance;
    const share = next > 0 && missChance > 0 ? missChance / (missChance + cleanScouted) : 0;
    return this.#round.intercept + share * scoutedMs + (1 - share) * (costs[far] ?? 0);
  }

  #isTried(reach: Reach): boolean {
    return reach.layers === 0 || !this.#seen(reach).wait.isEmpty;
  }

  /** What is known of layers like this one, in the round of `report`. */
  #seenAt({ from, guessed }: RoundReport, moe: number): Seen {
    if (guessed && moe - from <= guessed.layers) return this.#seen(guessed);
    return from < 0 && moe < this.#scoutedLayers ? this.#scouted : this.#unguessed;
  }

  /** A scout's guesses share the link with the token's own, so these are apart with and without. */
  #seen(guess: Reach | undefined): Seen {
    if (!guess || guess.layers === 0) return this.#unguessed;
    const { layers, hints } = guess;
    const way = `${hints} ${layers > this.#numMoe}`;
    const seen = this.#guessed.get(way) ?? new Seen(0.4 / (1 + hints / 12), 3 + hints / 2);
    this.#guessed.set(way, seen);
    return seen;
  }
}

/** 0, 1, 2, 4, … below `limit`. */
function powersBelow(limit: number): number[] {
  const powers = [0];
  for (let power = 1; power < limit; power *= 2) powers.push(power);
  return powers;
}
