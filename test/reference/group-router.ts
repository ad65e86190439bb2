/** Reference of the selection of experts in groups, as DeepSeek-V2 and V3 define it; `router.ts` has the one without. */
import { softmax } from "./softmax.ts";

export interface GroupSelectInput {
  /** Router logits, [T, E]. */
  readonly logits: ArrayLike<number>;
  readonly numExperts: number;
  readonly topK: number;
  readonly scoring: "softmax" | "sigmoid";
  /** Added to scores for choosing only, [E]. */
  readonly bias: ArrayLike<number> | null;
  readonly numGroups: number;
  readonly groupsUsed: number;
  /** Experts whose values a group's worth is the sum of: 1 or 2. */
  readonly bestOf: number;
  readonly renormalize: boolean;
  readonly scale: number;
}

/** Ids and weights of the chosen experts, [T, topK] each, in rank order; of equals the lower id comes first. */
export function selectInGroups(input: GroupSelectInput): { expertIds: number[]; routingWeights: number[] } {
  const { logits, numExperts, topK, scoring, bias, numGroups, groupsUsed, bestOf, renormalize, scale } = input;
  const size = numExperts / numGroups;
  const expertIds: number[] = [];
  const routingWeights: number[] = [];
  for (let at = 0; at < logits.length; at += numExperts) {
    const row = Array.from({ length: numExperts }, (_, e) => logits[at + e]!);
    const scores = scoring === "softmax" ? [...softmax(row)] : row.map((logit) => 1 / (1 + Math.exp(-logit)));
    const values = scores.map((score, e) => score + (bias?.[e] ?? 0));
    const worth = Array.from({ length: numGroups }, (_, group) => {
      const best = values.slice(group * size, (group + 1) * size).sort((a, b) => b - a);
      return best.slice(0, bestOf).reduce((sum, value) => sum + value, 0);
    });
    const groups = best(worth, [...worth.keys()], groupsUsed);
    const open = [...values.keys()].filter((e) => groups.includes(Math.floor(e / size)));
    const chosen = best(values, open, topK);
    const sum = renormalize ? chosen.reduce((total, e) => total + scores[e]!, 0) : 1;
    expertIds.push(...chosen);
    routingWeights.push(...chosen.map((e) => (scores[e]! / sum) * scale));
  }
  return { expertIds, routingWeights };
}

/** The `count` of `indices` with the largest values, in order. */
function best(values: readonly number[], indices: readonly number[], count: number): number[] {
  return [...indices].sort((a, b) => values[b]! - values[a]! || a - b).slice(0, count);
}
