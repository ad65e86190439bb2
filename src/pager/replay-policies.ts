/** Policies that only replays use: yardsticks for those of policy.ts, which stand in the same list. */
import { createPolicy, type EvictionPolicy, POLICY_NAMES } from "./policy.ts";

export const REPLAY_POLICY_NAMES = [...POLICY_NAMES, "lfru-undecayed", "belady"] as const;
export type ReplayPolicyName = (typeof REPLAY_POLICY_NAMES)[number];

/** The policy for one layer whose events are `events`; the token of `events[i]` is step `i + 1`. */
export function createReplayPolicy(
  name: ReplayPolicyName,
  numExperts: number,
  events: readonly (readonly number[])[],
): EvictionPolicy {
  if (name === "belady") return clairvoyant(numExperts, events);
  if (name === "lfru-undecayed") return undecayed(numExperts);
  return createPolicy(name, numExperts);
}

/**
 * Evicts the expert whose next use is furthest away, the first of equals. No policy without foresight has more hits
 * (Belady 1966; where it may also pass up the expert that just came, it is the bound for that too).
 */
function clairvoyant(numExperts: number, events: readonly (readonly number[])[]): EvictionPolicy {
  const uses: number[][] = Array.from({ length: numExperts }, () => []);
  events.forEach((event, i) => {
    for (const expert of event) uses[expert]?.push(i + 1);
  });
  /** Of every expert, how many of its uses are over: steps only grow. */
  const over = new Uint32Array(numExperts);
  const nextUse = (expert: number, step: number): number => {
    const own = uses[expert] ?? [];
    let next = over[expert] ?? 0;
    while ((own[next] ?? Number.POSITIVE_INFINITY) <= step) next += 1;
    over[expert] = next;
    return own[next] ?? Number.POSITIVE_INFINITY;
  };
  return {
    touch: () => undefined,
    victim: (candidates, step) => best(candidates, (expert) => nextUse(expert, step)),
  };
}

/** The yardstick of published replays: evicts the lowest use count / (1 + steps since the last use), the first of equals. */
function undecayed(numExperts: number): EvictionPolicy {
  const count = new Float64Array(numExperts);
  const lastUse = new Float64Array(numExperts);
  return {
    touch: (expert, step, uses) => {
      count[expert] = (count[expert] ?? 0) + uses;
      lastUse[expert] = step;
    },
    victim: (candidates, step) =>
      best(candidates, (expert) => -(count[expert] ?? 0) / (1 + step - (lastUse[expert] ?? 0))),
  };
}

/** The candidate with the highest score; the first of equals. */
function best(candidates: readonly number[], score: (expert: number) => number): number {
  return candidates.reduce((a, b) => (score(b) > score(a) ? b : a));
}
