/** Reference of the embedding look-up: one row of the table per token. Plain loops, float64. */

/** Rows `ids` of the table. */
export function embed(
  weights: ArrayLike<number>, // [vocab, D]
  ids: ArrayLike<number>, // [T]
  hiddenSize: number,
): Float64Array {
  const out = new Float64Array(ids.length * hiddenSize); // [T, D]
  for (let t = 0; t < ids.length; t++) {
    for (let c = 0; c < hiddenSize; c++) out[t * hiddenSize + c] = weights[ids[t]! * hiddenSize + c]!;
  }
  return out;
}
