/** Reference of rotary positions: element j of a head turns together with element j + d/2; all of the head turns. */

export interface RopeInput {
  /** Heads of every token, [T, heads, d]. */
  readonly x: ArrayLike<number>;
  readonly headDim: number;
  /** Position of every token, [T]. */
  readonly positions: ArrayLike<number>;
  readonly theta: number;
}

/** Pair (j, j + d/2) turned by the angle position · theta^(-2j/d). */
export function rope({ x, headDim, positions, theta }: RopeInput): Float64Array {
  const out = new Float64Array(x.length); // [T, heads, d]
  const half = headDim / 2;
  const tokenWidth = x.length / positions.length;
  for (let head = 0; head < x.length; head += headDim) {
    const pos = positions[Math.floor(head / tokenWidth)]!;
    for (let j = 0; j < half; j++) {
      const angle = pos * theta ** ((-2 * j) / headDim);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [a, b] = [x[head + j]!, x[head + j + half]!];
      out[head + j] = a * cos - b * sin;
      out[head + j + half] = a * sin + b * cos;
    }
  }
  return out;
}
