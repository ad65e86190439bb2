/** Widths of the activations of a model, padded to whole quads, the largest over its layers. Plain numbers, no GPU. */
import type { AttentionSpec, LatentSpec, LayerSpec, ModelSpec, MoeSpec, ShortConvSpec } from "../models/spec.ts";
import { alignUp, ceilDiv } from "../util/math.ts";

/** Tokens that a prefill works on at once. Fixed: the budget must not change it. */
export const PREFILL_CHUNK = 128;

/** Tokens of KV cache that a budget reserves unless told otherwise. */
export const DEFAULT_CONTEXT = 2048;

/** All in floats, multiples of four, unless said otherwise. */
export interface Sizes {
  /** Tokens of a prefill chunk. */
  readonly chunk: number;
  readonly hidden: number;
  /** What a mixer of tokens projects its input to: queries, keys, values; or the three parts of a short convolution. */
  readonly qkv: number;
  /** What a mixer of tokens makes of that, before its output projection. */
  readonly attention: number;
  /** The heads' queries, and then their outputs, in the space of the latents. */
  readonly latentHeads: number;
  /** Inner width of dense MLPs and of shared experts. */
  readonly denseInner: number;
  /** Router logits; the latent vector, where there is one, and the shared expert's gate follow in the same row. */
  readonly routerLogits: number;
  /** Where the shared expert's gate is in the row. */
  readonly sharedGateAt: number;
  readonly routerRow: number;
  /** Width that experts read and write. */
  readonly expertWidth: number;
  readonly expertInner: number;
  /** Counts, not padded. */
  readonly topK: number;
  readonly numExperts: number;
  readonly numMoeLayers: number;
  /** Experts below the top-k cut that a layer of a decode step can name, and the word where those of all layers begin. */
  readonly hints: number;
  readonly hintsAt: number;
  /** Experts that a layer of a decode step predicts for the next one, and the word where those of all layers begin. */
  readonly predictions: number;
  readonly predictionsAt: number;
  readonly vocab: number;
}

/** Experts below the top-k cut that every layer of a decode step has room to name. */
export const MAX_HINTS = 8;

/** Experts that are guessed for the next MoE layer where prediction is on: few, since a wrong one takes a slot. */
export const PREDICTIONS = 4;

export function modelSizes(spec: ModelSpec, chunk = PREFILL_CHUNK, predictions = 0): Sizes {
  const moe = moeLayers(spec).map(({ mlp }) => mlp);
  const attention = spec.layers.map((layer) => layer.attention).filter((each) => each !== null);
  const conv = spec.layers.some((layer) => layer.conv) ? spec.hiddenSize : 0;
  const largest = (values: readonly number[]): number => Math.max(0, ...values);
  const routerLogits = largest(moe.map(({ numExperts }) => quads(numExperts)));
  const topK = largest(moe.map((mlp) => mlp.topK));
  const latent = largest(moe.map(({ latentSize }) => quads(latentSize ?? 0)));
  return {
    chunk,
    hidden: quads(spec.hiddenSize),
    qkv: largest([quads(3 * conv), ...attention.map((a) => quads(qkvWidth(a)))]),
    attention: largest([
      quads(conv),
      ...attention.map((a) => quads(a.numHeads * Math.max(a.headDim, a.latent?.valueDim ?? 0))),
    ]),
    latentHeads: largest(attention.map((a) => quads(a.numHeads * (a.latent?.rank ?? 0)))),
    denseInner: largest(spec.layers.map((layer) => quads(denseInner(layer)))),
    routerLogits,
    sharedGateAt: routerLogits + latent,
    routerRow: routerLogits + latent + (moe.some(({ shared }) => shared?.gated) ? 4 : 0),
    expertWidth: largest(moe.map(({ latentSize }) => quads(latentSize ?? spec.hiddenSize))),
    expertInner: largest(moe.map(({ innerSize }) => quads(innerSize))),
    topK,
    numExperts: largest(moe.map(({ numExperts }) => numExperts)),
    numMoeLayers: moe.length,
    hints: MAX_HINTS,
    hintsAt: moe.length * 3 * topK,
    predictions: Math.min(predictions, topK),
    predictionsAt: moe.length * (3 * topK + MAX_HINTS),
    vocab: quads(spec.vocabSize),
  };
}

/** MoE layers in order, with their index in the model. */
export function moeLayers(spec: ModelSpec): { layer: number; mlp: MoeSpec }[] {
  return spec.layers.flatMap(({ mlp }, layer) => (mlp?.kind === "moe" ? [{ layer, mlp }] : []));
}

function denseInner({ mlp }: LayerSpec): number {
  return mlp?.kind === "dense" ? mlp.innerSize : (mlp?.shared?.innerSize ?? 0);
}

/** Queries, keys and values of one token side by side, and the gates of the outputs where there are some. */
export function qkvWidth(attention: AttentionSpec): number {
  const { numHeads, numKvHeads, headDim, outputGate = false, latent } = attention;
  if (latent) return latentRow(attention, latent).width;
  return ((outputGate ? 2 : 1) * numHeads + 2 * numKvHeads) * headDim;
}

/**
 * A token's row in a layer with latents: the compressed query, the latent and the shared part of the keys behind it; or
 * that first, and the heads' queries. In floats, each from a whole quad.
 */
export function latentRow(
  { numHeads, headDim, ropeDims = 0 }: AttentionSpec,
  { rank, queryRank }: LatentSpec,
): { readonly latentAt: number; readonly queriesAt: number; readonly width: number } {
  const shared = quads(rank + ropeDims);
  if (queryRank === undefined) return { latentAt: 0, queriesAt: shared, width: shared + numHeads * headDim };
  return { latentAt: quads(queryRank), queriesAt: 0, width: quads(queryRank) + shared };
}

/** Positions that a layer's cache holds: all of the context, or the window and what a chunk adds to it. */
export function kvCapacity({ window }: AttentionSpec, contextLength: number, chunk: number): number {
  return window === null ? contextLength : Math.min(contextLength, window - 1 + chunk);
}

/**
 * Bytes of each buffer of one layer's cache: keys or values [capacity, numKvHeads, headDim in quads] f32, or latents and
 * shared parts [capacity, rank + ropeDims in quads] f32.
 */
export function kvBytes({ numKvHeads, headDim, ropeDims = 0, latent }: AttentionSpec, capacity: number): number {
  const width = latent ? latent.rank + ropeDims : headDim;
  return capacity * numKvHeads * ceilDiv(width, 4) * 16;
}

/** Buffers of one layer's cache: keys and values, or latents. */
export function kvBuffers({ latent }: AttentionSpec): number {
  return latent ? 1 : 2;
}

/** Positions that a short convolution's ring holds: what the first token of a chunk looks back to, and the chunk. */
export function convCapacity({ kernel }: ShortConvSpec, contextLength: number, chunk: number): number {
  return Math.min(contextLength, kernel - 1 + chunk);
}

function quads(columns: number): number {
  return alignUp(columns, 4);
}
