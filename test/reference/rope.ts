/** Reference of rotary positions: the first `dims` elements of a head turn, in pairs of halves or of neighbours. */

export interface RopeInput {
  /** Heads of every token, [T, heads, d]. */
  readonly x: ArrayLike<number>;
  readonly headDim: number;
  /** Position of every token, [T]. */
  readonly positions: ArrayLike<number>;
  readonly theta: number;
  /** Elements that turn, from the first; all of a head when absent. */
  readonly dims?: number | undefined;
  /** Elements 2j and 2j + 1 are a pair, not j and j + dims/2. */
  readonly interleaved?: boolean | undefined;
}

/** Pair j turned by the angle position · theta^(-2j/dims). */
export function rope({ x, headDim, positions, theta, dims = headDim, interleaved = false }: RopeInput): Float64Array {
  const out = Float64Array.from(x); // [T, heads, d]
  const half = dims / 2;
  const tokenWidth = x.length / positions.length;
  for (let head = 0; head < x.length; head += headDim) {
    const pos = positions[Math.floor(head / tokenWidth)]!;
    for (let j = 0; j < half; j++) {
      const angle = pos * theta ** ((-2 * j) / dims);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [first, second] = interleaved ? [head + 2 * j, head + 2 * j + 1] : [head + j, head + j + half];
      const [a, b] = [x[first]!, x[second]!];
      out[first] = a * cos - b * sin;
      out[second] = a * sin + b * cos;
    }
  }
  return out;
}
