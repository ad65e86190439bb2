/** Reference of the prefill product: every token's vector times the same weights. */
import { matvec } from "./matvec.ts";

/** x · weightsᵀ. */
export function matmul(
  x: ArrayLike<number>, // [T, C]
  weights: ArrayLike<number>, // [R, C]
  cols: number,
): Float64Array {
  const numTokens = x.length / cols;
  const rows = weights.length / cols;
  const out = new Float64Array(numTokens * rows); // [T, R]
  for (let t = 0; t < numTokens; t++) {
    const token = Float64Array.from({ length: cols }, (_, c) => x[t * cols + c]!); // [C]
    out.set(matvec(token, weights), t * rows);
  }
  return out;
}
