/** References of the activations that few families have; the common one is in swiglu.ts. */

/** The positive part, squared. */
export function relu2(x: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (value) => (value > 0 ? value * value : 0)); // [n]
}

/** g σ(1.702 g) (u + 1) with g at most 7 and u from -7 to 7. */
export function clampedSwiglu(
  gate: ArrayLike<number>, // [n]
  up: ArrayLike<number>, // [n]
): Float64Array {
  return Float64Array.from(gate, (value, i) => {
    const g = Math.min(value, 7);
    const u = Math.max(-7, Math.min(7, up[i]!));
    return (g / (1 + Math.exp(-1.702 * g))) * (u + 1);
  }); // [n]
}
