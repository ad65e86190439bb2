/** Random attention heads for the kernel tests: what the kernels bind, and what the reference takes. */
import type { LedgerBuffer } from "../../../src/gpu/ledger.ts";
import type { Heads, KvBuffers } from "../../../src/kernels/heads.ts";
import { type Bench, inRows, normals } from "./harness.ts";

export interface HeadSizes {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

export interface HeadChoices {
  readonly qkNorm: boolean;
  readonly positions: boolean;
  /** Elements that turn, and which of them together. */
  readonly ropeDims?: number;
  readonly interleaved?: boolean;
}

/** The four choices of fragments. */
export const HEAD_CHOICES: readonly HeadChoices[] = [true, false].flatMap((qkNorm) =>
  [true, false].map((positions) => ({ qkNorm, positions })),
);

const EPS = 1e-5;
const THETA = 10_000;

/** Heads of random gains for `tokens` tokens from position `pos`, for the kernel and for the reference. */
export function randomHeads(
  bench: Bench,
  sizes: HeadSizes,
  { qkNorm, positions, ropeDims, interleaved }: HeadChoices,
  pos: number,
  tokens: number,
) {
  const { headDim } = sizes;
  const gains = qkNorm ? { q: normals(bench.random, headDim), k: normals(bench.random, headDim) } : undefined;
  const heads: Heads = {
    ...sizes,
    gains: gains && { q: bench.floats(gains.q), k: bench.floats(gains.k) },
    rope: positions ? bench.floats(angles(ropeDims ?? headDim, pos, tokens)) : undefined,
    eps: EPS,
    ropeDims,
    interleaved,
  };
  const reference = {
    ...sizes,
    qGain: gains?.q ?? null,
    kGain: gains?.k ?? null,
    eps: EPS,
    ropeTheta: positions ? THETA : null,
    ropeDims,
    interleaved,
  };
  return { heads, reference };
}

/** Cosines and sines [tokens, dims / 2, 2]. */
function angles(dims: number, pos: number, tokens: number): Float64Array {
  const half = dims / 2;
  return Float64Array.from({ length: tokens * half * 2 }, (_, i) => {
    const [t, j] = [Math.floor(i / dims), Math.floor((i % dims) / 2)];
    const angle = (pos + t) * THETA ** ((-2 * j) / dims);
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Floats of one head in the cache. */
export function paddedHead(headDim: number): number {
  return Math.ceil(headDim / 4) * 4;
}

/**
 * A ring of `capacity` rows with positions below `pos` of `rows` [pos, K * d] in it, each over the one that had its row
 * before; rows that no position took hold `filler`.
 */
export function ringFloats(
  rows: ArrayLike<number>,
  { numKvHeads, headDim }: HeadSizes,
  pos: number,
  capacity: number,
  filler: number,
): Float32Array {
  const width = numKvHeads * paddedHead(headDim);
  const ring = new Float32Array(capacity * width).fill(filler);
  for (let p = 0; p < pos; p++) {
    const row = Array.from({ length: numKvHeads * headDim }, (_, i) => rows[p * numKvHeads * headDim + i]!);
    ring.set(inRows(row, headDim, paddedHead(headDim), 0, 0), (p % capacity) * width);
  }
  return ring;
}

/** Rings of keys and values as buffers. */
export function ringBuffers(bench: Bench, k: Float32Array, v: Float32Array, capacity: number): KvBuffers {
  const [keys, values]: LedgerBuffer[] = [bench.floats(k), bench.floats(v)];
  return { k: keys!, v: values!, capacity };
}
