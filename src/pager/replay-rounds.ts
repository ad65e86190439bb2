/**
 * Replays a trace through the decode loop and the pager's rules, step by step (src/engine/decode-step.ts): a token is
 * submitted whole; when a layer misses an expert, that layer's are fetched, with guesses for the next `runAhead` layers,
 * and the token runs again from there. An event's experts all stay until its token is over, as they must on a GPU.
 *
 * What is modelled and not known from a trace: the routing that later layers show behind a miss. It is taken to be the
 * final one, each expert replaced by a wrong one with probability 1 - `hintAccuracy`, by a seeded draw. Prefill chunks,
 * resizes, scouts of the next token and reads that fail are not modelled.
 */
import type { EvictionPolicy } from "./policy.ts";
import { createPrefetcher, type Prefetcher } from "./prefetcher.ts";
import { checkedEvent, count, newReplayCounts, type ReplayCounts, type ReplayOptions } from "./replay.ts";
import { createReplayPolicy } from "./replay-policies.ts";
import { SlotTable } from "./slot-table.ts";
import type { TraceStep } from "./trace-file.ts";
import { type Want, withSlots } from "./wants.ts";

export interface RoundOptions extends ReplayOptions {
  /** MoE layers past the first missing one that are guessed for; Infinity for all. `guesses` more come from `prefetch`. */
  readonly runAhead: number;
  /** Share of hinted experts that are right, 0 to 1. */
  readonly hintAccuracy: number;
  readonly seed: number;
}

export interface RoundCounts extends ReplayCounts {
  /** Submissions; a clean step takes one. */
  rounds: number;
  /** Steps of one round. */
  cleanSteps: number;
  /** MoE layers computed, those again that a replay ran again. */
  layersRun: number;
  /** Rounds that ended in a fetch of this many experts, guesses included. */
  fetchBatches: Map<number, number>;
}

interface Layer {
  readonly policy: EvictionPolicy;
  readonly table: SlotTable;
  /** Fetched on a guess and not used yet. */
  readonly guessed: Set<number>;
  readonly touched: Set<number>;
}

/**
 * Replays `steps`, cold at the first. Guesses that lie unused at the end count as wasted.
 * @throws RangeError when an event has more experts than a layer has slots, or an expert is not one of `numExperts`.
 */
export function replayRounds(steps: readonly TraceStep[], options: RoundOptions): RoundCounts {
  return new RoundReplay(steps, options).run();
}

class RoundReplay {
  readonly #steps: readonly TraceStep[];
  readonly #options: RoundOptions;
  readonly #layers: readonly Layer[];
  readonly #prefetcher: Prefetcher;
  readonly #counts: RoundCounts = {
    ...newReplayCounts(),
    rounds: 0,
    cleanSteps: 0,
    layersRun: 0,
    fetchBatches: new Map(),
  };

  constructor(steps: readonly TraceStep[], options: RoundOptions) {
    this.#steps = steps;
    this.#options = options;
    this.#prefetcher = createPrefetcher(options.prefetch, steps, options.numExperts);
    this.#layers = (steps[0]?.experts ?? []).map((_, moe) => {
      const events = steps.map(({ experts }) => checkedEvent(experts[moe] ?? [], options.numExperts));
      const most = Math.max(...events.map(({ length }) => length));
      if (most > options.slotsPerLayer)
        throw new RangeError(`${most} experts at once in ${options.slotsPerLayer} slots`);
      return {
        policy: createReplayPolicy(options.policy, options.numExperts, events),
        table: new SlotTable(options.numExperts, options.slotsPerLayer),
        guessed: new Set(),
        touched: new Set(),
      };
    });
  }

  run(): RoundCounts {
    for (const index of this.#steps.keys()) this.#step(index);
    for (const { guessed } of this.#layers) this.#counts.wasted += guessed.size;
    return this.#counts;
  }

  #step(index: number): void {
    const events = this.#steps[index]?.experts ?? [];
    const demanded = events.map(() => 0);
    let rounds = 1;
    let from = 0;
    for (; ; rounds++) {
      this.#counts.layersRun += events.length - from;
      const first = events.findIndex((event, moe) => event.some((expert) => !this.#layers[moe]?.table.has(expert)));
      if (first < 0) break;
      demanded[first] = this.#acquire(index, this.#wants(index, events, first));
      from = first;
    }
    this.#counts.tokens += 1;
    this.#counts.rounds += rounds;
    if (rounds === 1) this.#counts.cleanSteps += 1;
    for (const [moe, event] of events.entries()) this.#settle(index, moe, event, demanded[moe] ?? 0);
    this.#prefetcher.observe(index);
  }

  /** The missing layer's experts, and for the layers behind it what the void part of the pass shows, and more guesses. */
  #wants(index: number, events: readonly (readonly number[])[], first: number): Want[] {
    const wants: Want[] = [{ moe: first, experts: events[first] ?? [], guess: false }];
    let before = events[first] ?? [];
    for (let moe = first + 1; moe < events.length && moe <= first + this.#options.runAhead; moe++) {
      const hint = this.#hint(index, first, moe, events[moe] ?? []);
      const more = this.#prefetcher
        .guess(index, moe, before)
        .filter((expert) => !hint.includes(expert) && !this.#layers[moe]?.table.has(expert));
      wants.push({ moe, experts: [...hint, ...more.slice(0, this.#options.guesses)], guess: true });
      before = hint;
    }
    return wants;
  }

  #hint(index: number, first: number, moe: number, event: readonly number[]): number[] {
    const { hintAccuracy, numExperts, seed } = this.#options;
    return event.map((expert, rank) => {
      const place = [seed, index, first, moe, rank];
      if (uniform(place) < hintAccuracy || event.length === numExperts) return expert;
      let wrong = Math.floor(uniform([...place, 1]) * numExperts);
      while (event.includes(wrong)) wrong = (wrong + 1) % numExperts;
      return wrong;
    });
  }

  /** Fetches what is missing, demands first. Gives the number of demands among it. */
  #acquire(index: number, wants: readonly Want[]): number {
    let fetched = 0;
    let demands = 0;
    for (const { moe, experts, guess } of withSlots(wants, () => this.#options.slotsPerLayer)) {
      for (const expert of new Set(experts)) {
        if (this.#layers[moe]?.table.has(expert)) continue;
        fetched += 1;
        if (guess) this.#counts.guessLoads += 1;
        else demands += 1;
        this.#place(index, moe, expert, guess, experts);
      }
    }
    count(this.#counts.fetchBatches, fetched);
    return demands;
  }

  #place(index: number, moe: number, expert: number, guess: boolean, chosen: readonly number[]): void {
    const layer = this.#layers[moe];
    if (!layer) return;
    layer.table.place(expert, layer.table.takeFree() ?? this.#evictOne(layer, index, chosen));
    if (guess) layer.guessed.add(expert);
  }

  #evictOne(layer: Layer, index: number, chosen: readonly number[]): number {
    const candidates = [...layer.table.resident].filter((expert) => !chosen.includes(expert)).sort((a, b) => a - b);
    const victim = layer.policy.victim(candidates, index, chosen);
    this.#counts.evictions += 1;
    if (layer.guessed.delete(victim)) this.#counts.wasted += 1;
    return layer.table.evict(victim);
  }

  /** The token stands: its experts are counted and the policy is told. */
  #settle(index: number, moe: number, event: readonly number[], demanded: number): void {
    const layer = this.#layers[moe];
    if (!layer || event.length === 0) return;
    const counts = this.#counts;
    let timely = 0;
    for (const expert of event) {
      if (layer.guessed.delete(expert)) timely += 1;
      if (!layer.touched.has(expert)) counts.firstTouches += 1;
      layer.touched.add(expert);
      layer.policy.touch(expert, index + 1, 1);
    }
    counts.events += 1;
    counts.picks += event.length;
    counts.timely += timely;
    counts.demandLoads += demanded;
    counts.hits += event.length - timely - demanded;
    if (demanded === 0) counts.cleanEvents += 1;
  }
}

/** A number in [0, 1) that depends on all of `parts` and on nothing else. */
function uniform(parts: readonly number[]): number {
  let hash = 0x9e37_79b9;
  for (const part of parts) {
    hash = Math.imul(hash ^ part, 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    hash ^= hash >>> 16;
  }
  return (hash >>> 0) / 2 ** 32;
}
