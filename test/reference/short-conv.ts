/**
 * Reference of the gated short convolution: channel by channel, the products b · x of the last L tokens are weighed by the
 * channel's taps, the oldest first, and the sum is multiplied by the token's c. Before the first token there are zeros.
 */

export interface ShortConvInput {
  /** b, c and x of every token from position 0 on, [T, 3, D]. */
  readonly bcx: ArrayLike<number>;
  readonly taps: ArrayLike<number>; // [D, L]
  readonly channels: number; // D
}

/** The products b · x, and the convolution's outputs, [T, D] both. */
export function shortConv({ bcx, taps, channels }: ShortConvInput): { products: Float64Array; out: Float64Array } {
  const numTokens = bcx.length / (3 * channels);
  const kernel = taps.length / channels;
  const products = new Float64Array(numTokens * channels);
  const out = new Float64Array(numTokens * channels);
  for (let t = 0; t < numTokens; t++) {
    for (let d = 0; d < channels; d++) {
      const token = t * 3 * channels + d;
      products[t * channels + d] = bcx[token]! * bcx[token + 2 * channels]!;
      let sum = 0;
      for (let back = 0; back < kernel && back <= t; back++) {
        sum += taps[d * kernel + kernel - 1 - back]! * products[(t - back) * channels + d]!;
      }
      out[t * channels + d] = bcx[token + channels]! * sum;
    }
  }
  return { products, out };
}
