/**
 * Who gives up a slot. A policy ranks the experts of one layer by what it has seen of their use; it holds no bytes and
 * knows nothing of the GPU. `step` counts tokens since load. Choosing badly costs bytes, never a result.
 */
import { Successors } from "./successors.ts";

export interface EvictionPolicy {
  /** `expert` was chosen by `uses` tokens of those that end at `step`, last by the one `back` tokens before. */
  touch(expert: number, step: number, uses: number, back?: number): void;
  /**
   * The one of `candidates` (resident) to evict at `step`. `chosen`: what the event in hand chose, where the caller knows
   * it; a policy may use it and must do without.
   */
  victim(candidates: readonly number[], step: number, chosen?: readonly number[]): number;
}

export const POLICY_NAMES = ["lru", "lfru", "successor"] as const;
/** Eviction policies: least recently used, that weighted by frequency, or by what is likely to come next. */
export type PolicyName = (typeof POLICY_NAMES)[number];

export const DEFAULT_POLICY: PolicyName = "successor";

/** A policy for a layer of `numExperts`. */
export function createPolicy(name: PolicyName, numExperts: number): EvictionPolicy {
  switch (name) {
    case "lru":
      return leastRecent(numExperts);
    case "lfru":
      return leastFrequentRecent(numExperts);
    case "successor":
      return leastLikelyNext(numExperts);
  }
}

/** Evicts the expert whose last use is longest ago. */
function leastRecent(numExperts: number): EvictionPolicy {
  const lastUse = new Float64Array(numExperts).fill(-1);
  return {
    touch: (expert, step, _uses, back = 0) => {
      lastUse[expert] = step - back;
    },
    victim: (candidates) => lowest(candidates, (expert) => lastUse[expert] ?? -1),
  };
}

/**
 * Evicts the lowest decayed use count / (1 + tokens since the last use)^0.75. Frequency over recency is LFRU; exponent and
 * half-life are flat optima of three traces.
 */
function leastFrequentRecent(numExperts: number): EvictionPolicy {
  const uses = decayedUses(numExperts);
  return {
    touch: (expert, step, count, back = 0) => uses.add(expert, step - back, count),
    victim: (candidates, step) =>
      lowest(candidates, (expert) => {
        const root = Math.sqrt(1 + uses.age(expert, step));
        return uses.count(expert, step) / (root * Math.sqrt(root));
      }),
  };
}

/**
 * Evicts the lowest decayed use count / sqrt(1 + tokens since the last use) x lift, where lift says how much more often
 * than at large an expert has followed, one token later, those that are chosen now. Without `chosen` lift is 1.
 * Only single tokens teach it: the experts of a prefill chunk follow nobody. The method is our own; what it was measured
 * against is in ARCHITECTURE.md, "Who gives up a slot".
 */
function leastLikelyNext(numExperts: number): EvictionPolicy {
  const uses = decayedUses(numExperts);
  const successors = new Successors(numExperts, numExperts);
  let before: TokenEvent = { step: 0, single: false, experts: [] };
  let now = before;
  return {
    touch: (expert, step, count, back = 0) => {
      if (step !== now.step) {
        before = now;
        now = { step, single: step === before.step + 1, experts: [] };
        if (follows(before, now)) successors.begin(before.experts);
      }
      now.experts.push(expert);
      if (follows(before, now)) successors.follow(before.experts, expert);
      uses.add(expert, step - back, count);
    },
    victim: (candidates, step, chosen = []) =>
      lowest(candidates, (expert) => {
        const own = uses.count(expert, step) / Math.sqrt(1 + uses.age(expert, step));
        return chosen.length > 0 ? own * successors.lift(expert, chosen) : own;
      }),
  };
}

/** What one token, or one prefill chunk, chose in a layer. */
interface TokenEvent {
  /** Tokens since load, this event's included. */
  readonly step: number;
  /** The step before was one less: a chunk's is less by its length. */
  readonly single: boolean;
  readonly experts: number[];
}

function follows(before: TokenEvent, now: TokenEvent): boolean {
  return before.single && now.single;
}

/** Uses lose half their weight in this many tokens. */
const HALF_LIFE_STEPS = 32;

/** Use counts of a layer's experts that fade with age. */
function decayedUses(numExperts: number) {
  const counts = new Float64Array(numExperts);
  const lastUse = new Float64Array(numExperts).fill(-1);
  /** Tokens since the last use; of one never used, since before the first. */
  const age = (expert: number, step: number): number => Math.max(0, step - (lastUse[expert] ?? -1));
  const count = (expert: number, step: number): number =>
    (counts[expert] ?? 0) * 2 ** (-age(expert, step) / HALF_LIFE_STEPS);
  const add = (expert: number, step: number, uses: number): void => {
    counts[expert] = count(expert, step) + uses;
    lastUse[expert] = step;
  };
  return { age, count, add };
}

/** The candidate with the lowest score; the first of equals. */
function lowest(candidates: readonly number[], score: (expert: number) => number): number {
  let best = -1;
  let bestScore = Number.POSITIVE_INFINITY;
  for (const expert of candidates) {
    const s = score(expert);
    if (best < 0 || s < bestScore) {
      best = expert;
      bestScore = s;
    }
  }
  return best;
}
