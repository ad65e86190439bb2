/**
 * Reference of rotary positions: of the first `dims` elements of a head, element j turns together with element j + dims/2,
 * or 2j with 2j + 1; the rest of a head stays.
 */
import type { RopeScaling } from "../../src/models/spec.ts";

export interface RopeInput {
  /** Heads of every token, [T, heads, d]. */
  readonly x: ArrayLike<number>;
  readonly headDim: number;
  /** Position of every token, [T]. */
  readonly positions: ArrayLike<number>;
  readonly theta: number;
  /** Elements that turn; the whole head when absent. */
  readonly dims?: number | undefined;
  readonly interleaved?: boolean | undefined;
  readonly scaling?: RopeScaling | undefined;
  /** How many times slower each pair turns, [dims / 2]. */
  readonly factors?: ArrayLike<number> | undefined;
}

/** Pair j turned by the angle position · theta^(-2j/dims), slowed by `scaling` and by its factor. */
export function rope({ x, headDim, positions, theta, ...more }: RopeInput): Float64Array {
  const out = Float64Array.from(x); // [T, heads, d]
  const { dims = headDim, interleaved, scaling, factors } = more;
  const half = dims / 2;
  const tokenWidth = x.length / positions.length;
  for (let head = 0; head < x.length; head += headDim) {
    const pos = positions[Math.floor(head / tokenWidth)]!;
    for (let j = 0; j < half; j++) {
      const frequency = scaled(theta ** ((-2 * j) / dims), scaling) / (factors?.[j] ?? 1);
      const [cos, sin] = [Math.cos(pos * frequency), Math.sin(pos * frequency)];
      const [first, second] = interleaved ? [head + 2 * j, head + 2 * j + 1] : [head + j, head + j + half];
      const [a, b] = [x[first]!, x[second]!];
      out[first] = a * cos - b * sin;
      out[second] = a * sin + b * cos;
    }
  }
  return out;
}

/**
 * Linear: slower by the factor. Llama 3: so too where a wave is longer than originalContext / lowFreqFactor; unchanged
 * where it is shorter than originalContext / highFreqFactor; between, a mix by originalContext / wavelength.
 */
function scaled(frequency: number, scaling: RopeScaling | undefined): number {
  if (!scaling) return frequency;
  if (scaling.kind === "linear") return frequency / scaling.factor;
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalContext } = scaling;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength > originalContext / low) return frequency / factor;
  if (wavelength < originalContext / high) return frequency;
  const smooth = (originalContext / wavelength - low) / (high - low);
  return (1 - smooth) * (frequency / factor) + smooth * frequency;
}
