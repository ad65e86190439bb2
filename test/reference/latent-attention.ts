/**
 * Reference of attention with latents, as it is defined: every head's keys and values are made of the latents and attended
 * to in the plain way. Octavo never makes them. And the products of heads with their own parts of a matrix.
 */
import { matvec } from "./matvec.ts";
import { rmsNorm } from "./norm.ts";
import { softmax } from "./softmax.ts";

/** Pairs of `x` turned: element 2j with 2j + 1, or j with j + d/2; `angles` [d/2]. */
export function turned(x: ArrayLike<number>, angles: ArrayLike<number>, isInterleaved: boolean): Float64Array {
  const half = angles.length;
  const out = new Float64Array(2 * half); // [d]
  for (let j = 0; j < half; j++) {
    const [a, b] = isInterleaved ? [2 * j, 2 * j + 1] : [j, j + half];
    const [cos, sin] = [Math.cos(angles[j]!), Math.sin(angles[j]!)];
    out[a] = x[a]! * cos - x[b]! * sin;
    out[b] = x[a]! * sin + x[b]! * cos;
  }
  return out;
}

export interface LatentSizes {
  readonly numHeads: number; // H
  readonly plainDim: number; // elements of a query and key that do not turn
  readonly ropeDims: number; // p, elements that do; of the key they are shared by all heads
  readonly valueDim: number; // v
  readonly rank: number; // r
}

export interface LatentAttentionInput extends LatentSizes {
  /** Projected queries of all positions from 0, the turning part of each head last, [n, H, plainDim + p]. */
  readonly q: ArrayLike<number>;
  /** Projected latents and shared parts, [n, r + p], and the gains of the latents' norm, [r]. */
  readonly rows: ArrayLike<number>;
  readonly gain: ArrayLike<number>;
  readonly eps: number;
  /** What makes keys and then values of a latent, head by head, [H, plainDim + v, r]. */
  readonly kvUp: ArrayLike<number>;
  /** Angles of a position, [p / 2]. */
  readonly angles: (position: number) => ArrayLike<number>;
  readonly isInterleaved: boolean;
  /** Factors on sines and cosines, and on scores. */
  readonly size: number;
  readonly scale: number;
}

/** Outputs [n, H, v] of causal attention, and what a cache holds: normed latents and turned shared parts [n, r + p]. */
export function latentAttention(input: LatentAttentionInput): { out: Float64Array; cached: Float64Array } {
  const { q, rows, gain, eps, kvUp, angles, isInterleaved, size, scale } = input;
  const { numHeads, plainDim, ropeDims, valueDim, rank } = input;
  const width = rank + ropeDims;
  const count = rows.length / width;
  const cut = (x: ArrayLike<number>, at: number, length: number) => Array.from({ length }, (_, i) => x[at + i]!);
  const turn = (x: ArrayLike<number>, position: number) =>
    turned(x, angles(position), isInterleaved).map((value) => value * size);
  const cached = new Float64Array(rows.length); // [n, r + p]
  for (let t = 0; t < count; t++) {
    cached.set(rmsNorm(cut(rows, t * width, rank), gain, eps), t * width);
    cached.set(turn(cut(rows, t * width + rank, ropeDims), t), t * width + rank);
  }
  const out = new Float64Array(count * numHeads * valueDim); // [n, H, v]
  const headDim = plainDim + ropeDims;
  for (let head = 0; head < numHeads; head++) {
    const up = cut(kvUp, head * (plainDim + valueDim) * rank, (plainDim + valueDim) * rank); // [plainDim + v, r]
    const made = Array.from({ length: count }, (_, t) => matvec(cut(cached, t * width, rank), up)); // n x [plainDim + v]
    for (let t = 0; t < count; t++) {
      const own = cut(q, (t * numHeads + head) * headDim, headDim);
      const query = [...own.slice(0, plainDim), ...turn(own.slice(plainDim), t)]; // [plainDim + p]
      const scores = Array.from({ length: t + 1 }, (_, j) => {
        const key = [...made[j]!.subarray(0, plainDim), ...cut(cached, j * width + rank, ropeDims)]; // [plainDim + p]
        return scale * key.reduce((sum, value, c) => sum + value * query[c]!, 0);
      });
      softmax(scores).forEach((weight, j) => {
        for (let c = 0; c < valueDim; c++)
          out[(t * numHeads + head) * valueDim + c]! += weight * made[j]![plainDim + c]!;
      });
    }
  }
  return { out, cached };
}

export interface HeadProductsInput {
  readonly x: ArrayLike<number>; // [T, H, inputs]
  /** Matrices of all heads one upon another, [H, rowStride, cols]; of each, `numRows` rows from `firstRow` count. */
  readonly weights: ArrayLike<number>;
  readonly numHeads: number;
  readonly rowStride: number;
  readonly firstRow: number;
  readonly numRows: number;
  readonly cols: number;
  readonly outputs: "rows" | "columns";
}

/** W x per head [T, H, numRows], or, for columns, Wᵀ x [T, H, cols]. */
export function headProducts(input: HeadProductsInput): Float64Array {
  const { x, weights, numHeads, rowStride, firstRow, numRows, cols, outputs } = input;
  const [inputs, results] = outputs === "rows" ? [cols, numRows] : [numRows, cols];
  const count = x.length / inputs; // T H
  const out = new Float64Array(count * results); // [T, H, results]
  for (let i = 0; i < count; i++) {
    const first = ((i % numHeads) * rowStride + firstRow) * cols;
    for (let r = 0; r < results; r++) {
      for (let c = 0; c < inputs; c++) {
        const weight = outputs === "rows" ? weights[first + r * cols + c]! : weights[first + c * cols + r]!;
        out[i * results + r]! += weight * x[i * inputs + c]!;
      }
    }
  }
  return out;
}
