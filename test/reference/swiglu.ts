/** Reference of the gated activation between the projections of an MLP or an expert. */

/** silu(gate) · up, element by element; silu(x) = x / (1 + exp(-x)). */
export function swiglu(
  gate: ArrayLike<number>, // [n]
  up: ArrayLike<number>, // [n]
): Float64Array {
  const out = new Float64Array(gate.length); // [n]
  for (let i = 0; i < out.length; i++) out[i] = (gate[i]! / (1 + Math.exp(-gate[i]!))) * up[i]!;
  return out;
}
