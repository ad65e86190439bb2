/**
 * Who gives up a slot. A policy ranks the experts of one layer by what it has seen of their use; it holds no bytes and
 * knows nothing of the GPU. `step` counts tokens since load. Choosing badly costs bytes, never a result.
 */
export interface EvictionPolicy {
  /** `expert` was chosen by `uses` tokens at `step`. */
  touch(expert: number, step: number, uses: number): void;
  /** The one of `candidates` (resident, not wanted now) to evict at `step`. */
  victim(candidates: readonly number[], step: number): number;
}

export const POLICY_NAMES = ["lru", "lfru"] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];

/** A policy for a layer of `numExperts`. */
export function createPolicy(name: PolicyName, numExperts: number): EvictionPolicy {
  return name === "lru" ? leastRecent(numExperts) : leastFrequentRecent(numExperts);
}

/** Evicts the expert whose last use is longest ago. */
function leastRecent(numExperts: number): EvictionPolicy {
  const lastUse = new Float64Array(numExperts).fill(-1);
  return {
    touch: (expert, step) => {
      lastUse[expert] = step;
    },
    victim: (candidates) => lowest(candidates, (expert) => lastUse[expert] ?? -1),
  };
}

/** Uses lose half their weight in this many tokens. */
const HALF_LIFE_STEPS = 32;

/** Evicts the lowest decayed use count / (1 + tokens since the last use). */
function leastFrequentRecent(numExperts: number): EvictionPolicy {
  const count = new Float64Array(numExperts);
  const lastUse = new Float64Array(numExperts).fill(-1);
  const decayed = (expert: number, step: number): number => {
    const age = step - (lastUse[expert] ?? -1);
    return (count[expert] ?? 0) * 2 ** (-age / HALF_LIFE_STEPS);
  };
  return {
    touch: (expert, step, uses) => {
      count[expert] = decayed(expert, step) + uses;
      lastUse[expert] = step;
    },
    victim: (candidates, step) =>
      lowest(candidates, (expert) => decayed(expert, step) / (1 + step - (lastUse[expert] ?? -1))),
  };
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
