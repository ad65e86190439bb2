/** Reference of matrix times vector: one float64 dot product per row of the weights. */

/** weights · x. */
export function matvec(
  x: ArrayLike<number>, // [C]
  weights: ArrayLike<number>, // [R, C]
): Float64Array {
  const cols = x.length;
  const out = new Float64Array(weights.length / cols); // [R]
  for (let r = 0; r < out.length; r++) {
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += weights[r * cols + c]! * x[c]!;
    out[r] = sum;
  }
  return out;
}
