/**
 * Reference of grouped-query attention, and of the two steps around it: preparing heads (norm and rotation of queries
 * and keys) and the fused decode step. Query head h reads KV head floor(h / (H/K)). Row j of keys and values belongs to
 * position j.
 */
import { rmsNorm } from "./norm.ts";
import { type RopeInput, rope } from "./rope.ts";
import { softmax } from "./softmax.ts";

export interface HeadCounts {
  readonly numHeads: number; // H
  readonly numKvHeads: number; // K
  readonly headDim: number; // d
}

export interface AttentionInput extends HeadCounts {
  readonly q: ArrayLike<number>; // [T, H, d]
  readonly k: ArrayLike<number>; // [n, K, d]
  readonly v: ArrayLike<number>; // [n, K, d]
  /** Position of every query, [T]; below n. */
  readonly positions: ArrayLike<number>;
  /** Keys visible to a query, itself included; `null` for all up to it. */
  readonly window: number | null;
  /** Factor on the scores; 1/sqrt(d) when absent. */
  readonly scale?: number | undefined;
  /** A score per query head, [H], that takes its share of the softmax and has no value. */
  readonly sinks?: ArrayLike<number> | undefined;
  /** The output is multiplied by the sigmoid of these, [T, H, d]. */
  readonly gates?: ArrayLike<number> | undefined;
}

/** Every query over the keys j with 0 <= i - j < window. */
export function attention(input: AttentionInput): Float64Array {
  const { q, k, v, positions, window, numHeads, numKvHeads, headDim, scale = 1 / Math.sqrt(headDim) } = input;
  const out = new Float64Array(q.length); // [T, H, d]
  for (let t = 0; t < positions.length; t++) {
    const pos = positions[t]!;
    const first = window === null ? 0 : Math.max(0, pos - window + 1);
    for (let head = 0; head < numHeads; head++) {
      const query = (t * numHeads + head) * headDim;
      const kvHead = Math.floor(head / (numHeads / numKvHeads));
      const numKeys = pos - first + 1;
      const scores = new Float64Array(input.sinks ? numKeys + 1 : numKeys); // [visible keys, and the sink]
      for (let j = first; j <= pos; j++) {
        const key = (j * numKvHeads + kvHead) * headDim;
        let dot = 0;
        for (let c = 0; c < headDim; c++) dot += q[query + c]! * k[key + c]!;
        scores[j - first] = dot * scale;
      }
      if (input.sinks) scores[numKeys] = input.sinks[head]!;
      const weights = softmax(scores); // [visible keys]
      for (let j = first; j <= pos; j++) {
        const value = (j * numKvHeads + kvHead) * headDim;
        for (let c = 0; c < headDim; c++) out[query + c]! += weights[j - first]! * v[value + c]!;
      }
      if (!input.gates) continue;
      for (let c = 0; c < headDim; c++) out[query + c]! /= 1 + Math.exp(-input.gates[query + c]!);
    }
  }
  return out;
}

export interface PrepareHeadsInput extends HeadCounts, Pick<RopeInput, "dims" | "interleaved" | "scaling" | "factors"> {
  /** Projections of every token: query heads, key heads, value heads, [T, (H + 2K) · d]. */
  readonly qkv: ArrayLike<number>;
  /** RMSNorm gains of a query and of a key head, [d]; `null` where heads are not normalised. */
  readonly qGain: ArrayLike<number> | null;
  readonly kGain: ArrayLike<number> | null;
  readonly eps: number;
  /** Rotary base; `null` for a layer without positions. */
  readonly ropeTheta: number | null;
  /** As in `rope`. */
  readonly ropeDims?: number | undefined;
  readonly interleaved?: boolean | undefined;
  readonly positions: ArrayLike<number>; // [T]
}

/** Queries and keys normalised per head, then rotated; values as they are. */
export function prepareHeads(input: PrepareHeadsInput): { q: Float64Array; k: Float64Array; v: Float64Array } {
  const { qkv, qGain, kGain, eps, ropeTheta, numHeads, numKvHeads, headDim } = input;
  const prepare = (first: number, heads: number, gain: ArrayLike<number> | null): Float64Array => {
    const x = columns(qkv, (numHeads + 2 * numKvHeads) * headDim, first * headDim, heads * headDim); // [T, heads, d]
    const normed = gain ? rmsNorm(x, gain, eps) : x; // [T, heads, d]
    return ropeTheta === null ? normed : rope({ ...input, x: normed, theta: ropeTheta }); // [T, heads, d]
  };
  return {
    q: prepare(0, numHeads, qGain), // [T, H, d]
    k: prepare(numHeads, numKvHeads, kGain), // [T, K, d]
    v: columns(qkv, (numHeads + 2 * numKvHeads) * headDim, (numHeads + numKvHeads) * headDim, numKvHeads * headDim),
  };
}

/** Columns first .. first + count - 1 of every row. */
function columns(x: ArrayLike<number>, rowWidth: number, first: number, count: number): Float64Array {
  const out = new Float64Array((x.length / rowWidth) * count); // [T, count]
  for (let i = 0; i < out.length; i++) out[i] = x[Math.floor(i / count) * rowWidth + first + (i % count)]!;
  return out;
}

/** Keys and values of the positions so far, [pos, K · d] each. */
export interface KvRows {
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
}

export interface AttentionDecodeInput extends Omit<PrepareHeadsInput, "positions"> {
  /** Position of the token; the cache holds rows 0 .. pos - 1 (more rows are ignored). */
  readonly pos: number;
  readonly cache: KvRows;
  readonly window: number | null;
}

/** One token: its heads prepared, its key and value appended to a copy of the cache, its queries over the whole. */
export function attentionDecode(input: AttentionDecodeInput): {
  out: Float64Array;
  kRow: Float64Array;
  vRow: Float64Array;
} {
  const { pos, cache, window, numHeads, numKvHeads, headDim } = input;
  const positions = [pos];
  const { q, k: kRow, v: vRow } = prepareHeads({ ...input, positions }); // [H, d], [K, d], [K, d]
  const k = appendRow(cache.k, pos, kRow); // [pos + 1, K, d]
  const v = appendRow(cache.v, pos, vRow); // [pos + 1, K, d]
  const out = attention({ q, k, v, positions, window, numHeads, numKvHeads, headDim }); // [H, d]
  return { out, kRow, vRow };
}

function appendRow(rows: ArrayLike<number>, numRows: number, row: Float64Array): Float64Array {
  const out = new Float64Array((numRows + 1) * row.length);
  for (let i = 0; i < numRows * row.length; i++) out[i] = rows[i]!;
  out.set(row, numRows * row.length);
  return out;
}
