/** Reference of the selection behind the router: which experts run for a token, and how their outputs are weighed. */
import { softmax } from "./softmax.ts";

export interface SelectInput {
  /** Router logits, [T, E]. */
  readonly logits: ArrayLike<number>;
  readonly numExperts: number;
  readonly topK: number;
  /** Divide the chosen experts' routing weights by their sum. */
  readonly renormalize: boolean;
  /** Factor on the routing weights, after renormalisation. */
  readonly scale: number;
  /** What makes scores of logits; softmax over all experts when absent. */
  readonly scoring?: "softmax" | "sigmoid" | undefined;
  /** Added to the scores for choosing only, [E]. */
  readonly selectionBias?: ArrayLike<number> | undefined;
}

export interface Selection {
  /** Chosen experts in rank order, [T, topK]. */
  readonly expertIds: Uint32Array;
  readonly routingWeights: Float64Array; // [T, topK]
}

/** Scores of all experts, then the `topK` best in descending order; of equals the lower id comes first. */
export function select(input: SelectInput): Selection {
  const { logits, numExperts, topK, renormalize, scale, scoring, selectionBias } = input;
  const numTokens = logits.length / numExperts;
  const expertIds = new Uint32Array(numTokens * topK); // [T, topK]
  const routingWeights = new Float64Array(numTokens * topK); // [T, topK]
  for (let t = 0; t < numTokens; t++) {
    const row = Array.from({ length: numExperts }, (_, e) => logits[t * numExperts + e]!); // [E]
    const probabilities = scoring === "sigmoid" ? row.map((x) => 1 / (1 + Math.exp(-x))) : softmax(row); // [E]
    // Ranked by logit: exp may map two different logits to one probability, never the other way round.
    const rankedBy = selectionBias ? row.map((_, e) => probabilities[e]! + selectionBias[e]!) : row; // [E]
    const chosen = row
      .map((_, e) => e)
      .sort((a, b) => rankedBy[b]! - rankedBy[a]! || a - b)
      .slice(0, topK); // [topK]
    const sum = renormalize ? chosen.reduce((total, e) => total + probabilities[e]!, 0) : 1;
    chosen.forEach((e, rank) => {
      expertIds[t * topK + rank] = e;
      routingWeights[t * topK + rank] = (probabilities[e]! / sum) * scale;
    });
  }
  return { expertIds, routingWeights };
}
