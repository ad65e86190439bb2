/**
 * Attention whose cache holds latents. Keys and values are never made: a head's part of `kUp` goes into its query, its
 * part of `vUp` behind its output, and between them all heads attend to the latents themselves, each a key with the
 * shared part behind it and a value without. The numbers are those of the keys and values up to the order of sums.
 * Prefill does the same: to make the keys and values of a head takes rank * (plain + value) products a position, 131,072
 * at DeepSeek's sizes, and would save a chunk of 128 tokens 768 * 128 = 98,304.
 * Seven dispatches in place of the three of plain attention in a decode step, six where queries are not compressed.
 */
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Command } from "../gpu/queue.ts";
import { headMatmul } from "../kernels/head-matmul.ts";
import type { HeadRows, HeadVectors } from "../kernels/head-matrix.ts";
import { headMatvec } from "../kernels/head-matvec.ts";
import type { Matrix } from "../kernels/kernel.ts";
import { latentAttention } from "../kernels/latent-attention.ts";
import { latentWrite } from "../kernels/latent-write.ts";
import type { Latents } from "../kernels/latents.ts";
import { matmul } from "../kernels/matmul.ts";
import { matvec } from "../kernels/matvec.ts";
import type { AttentionSpec, LatentSpec, LayerTensor } from "../models/spec.ts";
import type { KvCache } from "./kv-cache.ts";
import { layerAttention, layerMatrix, type Parts } from "./parts.ts";
import { ropeFor } from "./scratch.ts";
import { latentRow } from "./sizes.ts";

type ForOne = (tokens: number) => Command;

/** One layer's attention over latents: where its vectors are, and what both phases do alike. */
interface LatentLayer {
  readonly matrix: (name: LayerTensor) => Matrix;
  /** The first projections of the stream, and where they go in the row. */
  readonly first: readonly { readonly matrix: Matrix; readonly outAt: number }[];
  /** Whether the heads' queries are made of a compressed one. */
  readonly isCompressed: boolean;
  readonly queries: HeadVectors;
  readonly latentHeads: HeadVectors;
  readonly values: HeadVectors;
  /** A head's query without its rotated part to the space of the latents; what it attended to, to its value. */
  readonly keyPart: HeadRows;
  readonly valuePart: HeadRows;
  readonly write: ForOne;
  readonly attend: ForOne;
}

/** One token: `h` [D] to `y` [D], the latent written on the way. */
export function latentDecode(parts: Parts, layer: number, kv: KvCache, h: BufferRange): Command[] {
  const { host, scratch } = parts;
  const { qkv, attention, y } = scratch.buffers;
  const at = latentLayer(parts, layer, kv);
  const heads = { matrix: at.matrix("q"), outAt: 0 };
  const o = { matrix: at.matrix("o"), outAt: 0 };
  return [
    matvec(host, at.first, h, qkv), // compressed query [c], latent and shared part [r + p]; or those, queries [H d]
    at.write(1), // the latent in the cache, the compressed query normed
    ...(at.isCompressed ? [matvec(host, [heads], { buffer: qkv }, attention)] : []), // queries [H d]
    headMatvec(host, at.keyPart, at.queries, at.latentHeads), // queries in the space of the latents [H r]
    at.attend(1), // outputs there [H r]
    headMatvec(host, at.valuePart, at.latentHeads, at.values), // outputs [H v]
    matvec(host, [o], { buffer: attention }, y), // y [D]
  ];
}

/** The tokens of a chunk: `h` [T, D] to `y` [T, D]. */
export function latentPrefill(parts: Parts, layer: number, kv: KvCache): ForOne[] {
  const { host, scratch, sizes } = parts;
  const { h, qkv, attention, y } = scratch.buffers;
  const { step } = scratch;
  const at = latentLayer(parts, layer, kv);
  const compressed = { x: qkv, xAt: 0, xStride: sizes.qkv / 4, out: attention, outAt: 0, outStride: sizes.attention };
  const output = { x: attention, xAt: 0, xStride: sizes.attention / 4, out: y, outAt: 0, outStride: sizes.hidden };
  return [
    ...at.first.map((each) =>
      matmul(host, { ...each, x: h, xAt: 0, xStride: sizes.hidden / 4, out: qkv, outStride: sizes.qkv, step }),
    ),
    at.write,
    ...(at.isCompressed ? [matmul(host, { ...compressed, matrix: at.matrix("q"), step })] : []), // queries [T, H d]
    headMatmul(host, at.keyPart, at.queries, at.latentHeads, step), // queries in the space of the latents [T, H r]
    at.attend, // outputs there [T, H r]
    headMatmul(host, at.valuePart, at.latentHeads, at.values, step), // outputs [T, H v]
    matmul(host, { ...output, matrix: at.matrix("o"), step }), // y [T, D]
  ];
}

function latentLayer(parts: Parts, layer: number, kv: KvCache): LatentLayer {
  const { host, spec, sizes, weights, scratch } = parts;
  const { qkv, attention: attended, latentHeads: inLatents } = scratch.buffers;
  const attention = layerAttention(spec, layer);
  const { latent, numHeads, headDim, ropeDims = 0 } = attention;
  if (!latent) throw new RangeError(`layer ${layer} has no latents`);
  const { rank, queryRank } = latent;
  const row = latentRow(attention, latent);
  const matrix = (name: LayerTensor) => layerMatrix(parts, layer, name);
  const latents = cachedLatents(parts, layer, kv);
  const { step } = scratch;
  // Compressed queries wait in the row; the heads' queries are then where the heads' outputs go later.
  const isCompressed = queryRank !== undefined;
  const queries = isCompressed
    ? { buffer: attended, at: 0, stride: headDim, tokenStride: sizes.attention }
    : { buffer: qkv, at: row.queriesAt, stride: headDim, tokenStride: sizes.qkv };
  const query = isCompressed ? { cols: queryRank, gain: weights.gain({ layer, name: "qDownNorm" }) } : undefined;
  const gain = weights.gain({ layer, name: "kvDownNorm" });
  const scale = attention.scale ?? 1 / Math.sqrt(headDim);
  const rotated = { ...queries, at: queries.at + headDim - ropeDims };
  return {
    matrix,
    first: [
      isCompressed ? { matrix: matrix("qDown"), outAt: 0 } : { matrix: matrix("q"), outAt: row.queriesAt },
      { matrix: matrix("kvDown"), outAt: row.latentAt },
    ],
    isCompressed,
    queries,
    latentHeads: { buffer: inLatents, at: 0, stride: rank, tokenStride: sizes.latentHeads },
    values: { buffer: attended, at: 0, stride: latent.valueDim, tokenStride: sizes.attention },
    ...headParts(attention, latent, matrix),
    write: latentWrite(host, {
      latents,
      row: qkv,
      stride: sizes.qkv,
      latentAt: row.latentAt,
      gain,
      query,
      eps: spec.normEps,
      step,
    }),
    attend: latentAttention(host, {
      latents,
      numHeads,
      rotated,
      heads: inLatents,
      headsStride: sizes.latentHeads,
      scale,
      step,
    }),
  };
}

/** The heads' parts of `kUp` and `vUp`, tensors of their own or one behind the other in each head's rows of `kvUp`. */
function headParts(
  { numHeads, headDim, ropeDims = 0 }: AttentionSpec,
  { rank, valueDim, split }: LatentSpec,
  matrix: (name: LayerTensor) => Matrix,
): { keyPart: HeadRows; valuePart: HeadRows } {
  const plainDim = headDim - ropeDims;
  if (split) {
    const whole = (name: LayerTensor, numRows: number, numCols: number): HeadRows => {
      return { matrix: matrix(name), numHeads, rowStride: numRows, firstRow: 0, numRows, numCols, outputs: "rows" };
    };
    return { keyPart: whole("kUp", rank, plainDim), valuePart: whole("vUp", valueDim, rank) };
  }
  const both = { matrix: matrix("kvUp"), numHeads, rowStride: plainDim + valueDim, numCols: rank };
  return {
    keyPart: { ...both, firstRow: 0, numRows: plainDim, outputs: "columns" },
    valuePart: { ...both, firstRow: plainDim, numRows: valueDim, outputs: "rows" },
  };
}

function cachedLatents({ spec, scratch }: Parts, layer: number, kv: KvCache): Latents {
  const attention = layerAttention(spec, layer);
  const { latent, ropeDims = 0, ropePairing } = attention;
  const cache = kv.layers[layer];
  const rope = ropeFor(scratch, attention);
  if (!latent || !cache || !rope) throw new RangeError(`layer ${layer} is incomplete`);
  const { k, capacity } = cache;
  return { rank: latent.rank, ropeDims, rope, interleaved: ropePairing === "interleaved", cache: k, capacity };
}
