/**
 * How results are compared with the reference, and where random shapes and values come from. Everything random follows
 * from one seed that is printed, so that a failure can be repeated.
 */
import { hash, uniform } from "./sample.ts";

/** Normalised squared error Σ(a - e)² / Σe²; NaN when anything is NaN, and then no bound holds. */
export function nmse(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`lengths differ: got ${actual.length}, expected ${expected.length}`);
  }
  let error = 0;
  let energy = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    energy += expected[i]! ** 2;
  }
  return error === 0 ? 0 : error / energy;
}

/** Largest |a - e|; NaN when any difference is. */
export function maxAbs(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  return worst;
}

/** Throws, with the figures, unless the normalised squared error is at most `bound`. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  label = "result",
): void {
  const error = nmse(actual, expected);
  if (error <= bound) return;
  const worst = maxAbs(actual, expected);
  throw new Error(`${label}: NMSE ${error.toExponential(2)} over ${bound.toExponential(2)}, max |a - e| ${worst}`);
}

/** A stream of random numbers that the seed determines. */
export interface Random {
  readonly seed: number;
  /** Uniform in (low, high). */
  readonly float: (low?: number, high?: number) => number;
  /** Uniform whole number, low <= n <= high. */
  readonly int: (low: number, high: number) => number;
  readonly randomFloats: (count: number, low?: number, high?: number) => Float64Array;
  readonly randomInts: (count: number, low: number, high: number) => Uint32Array;
  /** Normal with mean 0 and this standard deviation. */
  readonly randomNormals: (count: number, deviation?: number) => Float64Array;
}

/** Numbers from `seed`; without one a fresh seed is drawn. Prints the seed unless `quiet`. */
export function createRandom(seed = Math.floor(Math.random() * 2 ** 32), quiet = false): Random {
  if (!quiet) console.info(`random seed ${seed}`);
  let drawn = 0;
  const unit = (): number => uniform(hash(seed, drawn++, 0x72616e64)); // "rand": another stream than a sampler's
  const float = (low = -1, high = 1): number => low + (high - low) * unit();
  const int = (low: number, high: number): number => low + Math.floor((high - low + 1) * unit());
  const normal = (): number => Math.sqrt(-2 * Math.log(unit())) * Math.cos(2 * Math.PI * unit());
  return {
    seed,
    float,
    int,
    randomFloats: (count, low, high) => Float64Array.from({ length: count }, () => float(low, high)),
    randomInts: (count, low, high) => Uint32Array.from({ length: count }, () => int(low, high)),
    randomNormals: (count, deviation = 1) => Float64Array.from({ length: count }, () => normal() * deviation),
  };
}
