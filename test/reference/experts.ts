/**
 * Reference of the expert computation: each chosen expert is a small SwiGLU block, and a token's result is the sum of
 * their outputs by routing weight, added in rank order. Width l is the latent width, or D without a latent space.
 */
import { matvec } from "./matvec.ts";
import { swiglu } from "./swiglu.ts";

export interface ExpertWeights {
  readonly gate: ArrayLike<number>; // [m, l]
  readonly up: ArrayLike<number>; // [m, l]
  readonly down: ArrayLike<number>; // [l, m]
}

/** down · (silu(gate · x) * (up · x)). */
export function expert(
  x: ArrayLike<number>, // [l]
  weights: ExpertWeights,
): Float64Array {
  return matvec(swiglu(matvec(x, weights.gate), matvec(x, weights.up)), weights.down); // [l]
}

/** Weighted sum of each token's expert outputs, rank 0 first. */
export function combine(
  outputs: ArrayLike<number>, // [T, topK, l]
  routingWeights: ArrayLike<number>, // [T, topK]
  topK: number,
): Float64Array {
  const numTokens = routingWeights.length / topK;
  const width = outputs.length / routingWeights.length;
  const out = new Float64Array(numTokens * width); // [T, l]
  for (let t = 0; t < numTokens; t++) {
    for (let rank = 0; rank < topK; rank++) {
      const weight = routingWeights[t * topK + rank]!;
      const from = (t * topK + rank) * width;
      for (let c = 0; c < width; c++) out[t * width + c]! += weight * outputs[from + c]!;
    }
  }
  return out;
}

export interface ExpertsInput {
  readonly x: ArrayLike<number>; // [T, l]
  readonly expertIds: ArrayLike<number>; // [T, topK]
  readonly routingWeights: ArrayLike<number>; // [T, topK]
  readonly topK: number;
  readonly expertWeights: (id: number) => ExpertWeights;
}

/** Outputs of every chosen expert, not yet weighed. */
export function expertOutputs(input: Omit<ExpertsInput, "routingWeights">): Float64Array {
  const { x, expertIds, topK, expertWeights } = input;
  const width = x.length / (expertIds.length / topK);
  const out = new Float64Array(expertIds.length * width); // [T, topK, l]
  for (let i = 0; i < expertIds.length; i++) {
    const t = Math.floor(i / topK);
    const token = Float64Array.from({ length: width }, (_, c) => x[t * width + c]!); // [l]
    out.set(expert(token, expertWeights(expertIds[i]!)), i * width);
  }
  return out;
}

/** Every token through its experts, combined. */
export function experts(input: ExpertsInput): Float64Array {
  return combine(expertOutputs(input), input.routingWeights, input.topK); // [T, l]
}
