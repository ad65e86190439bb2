/**
 * Reference of RMSNorm, alone and fused with the residual add that comes before it. In a sandwich layer the output of
 * attention or MLP is normalised first, added to the stream, and the stream is normalised again for the next reader.
 */

/** x / sqrt(mean(x²) + eps) · gain, row by row; a row is as wide as `gain`. */
export function rmsNorm(
  x: ArrayLike<number>, // [T, D]
  gain: ArrayLike<number>, // [D]
  eps: number,
): Float64Array {
  const width = gain.length;
  const out = new Float64Array(x.length); // [T, D]
  for (let row = 0; row < x.length; row += width) {
    let sumOfSquares = 0;
    for (let c = 0; c < width; c++) sumOfSquares += x[row + c]! * x[row + c]!;
    const scale = 1 / Math.sqrt(sumOfSquares / width + eps);
    for (let c = 0; c < width; c++) out[row + c] = x[row + c]! * scale * gain[c]!;
  }
  return out;
}

export interface ResidualNormInput {
  /** The residual stream, [T, D]. */
  readonly x: ArrayLike<number>;
  /** What to add to it, [T, D]; absent before the first layer. */
  readonly y?: ArrayLike<number> | null;
  /** RMSNorm gain of `y`, [D]; absent where layers have no output norms. */
  readonly outputGain?: ArrayLike<number> | null;
  /** RMSNorm gain of the new stream for its next reader, [D]. */
  readonly inputGain: ArrayLike<number>;
  readonly eps: number;
}

/** The new stream `x`, and `h`, the same normalised for the next reader; the input is left as it was. */
export function residualNorm(input: ResidualNormInput): { x: Float64Array; h: Float64Array } {
  const x = Float64Array.from(input.x); // [T, D]
  if (input.y) {
    const y = input.outputGain ? rmsNorm(input.y, input.outputGain, input.eps) : input.y; // [T, D]
    for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
  }
  return { x, h: rmsNorm(x, input.inputGain, input.eps) }; // [T, D], [T, D]
}
