/** Shapes of the MAI scaling ladder: depth is the only knob, every width follows from it, and the report's base model. */
import type { LayerSpec, ModelSpec } from "../../src/models/spec.ts";

/** Rungs with reported sizes, one below them for small machines, and MAI-Base-1, a trimmed L78. */
export const RUNGS = ["L6", "L12", "L18", "L24", "L30", "L36", "L42", "L66", "L78", "MAI-Base-1"] as const;
export type Rung = (typeof RUNGS)[number];

/** Everything that may be set apart from the rung, to make small models of the same build. */
export interface LadderShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Inner width of the dense layers. */
  readonly dense: number;
  readonly latent: number;
  /** Inner width of an expert. */
  readonly inner: number;
  readonly experts: number;
  readonly topK: number;
  readonly vocab: number;
  readonly window: number;
  readonly context: number;
}

/** o200k_base. */
const VOCAB = 200_019;
/** Every sixth layer sees all keys and has no positions; every second has experts. */
const GLOBAL_EVERY = 6;
const MOE_EVERY = 2;

/** The shape of `rung`: width L * 256/3, query heads 8 * round(L / 8), latent half the width, experts three quarters. */
export function ladderShape(rung: Rung): LadderShape {
  const isBase = rung === "MAI-Base-1";
  const layers = isBase ? 78 : Number(rung.slice(1));
  const hidden = (layers * 256) / 3;
  return {
    layers,
    hidden,
    heads: 8 * roundHalfEven(layers / 8),
    kvHeads: 8,
    headDim: 128,
    dense: hidden,
    latent: isBase ? 3072 : hidden / 2,
    inner: isBase ? 5120 : hidden * 0.75,
    experts: 512,
    topK: 8,
    vocab: VOCAB,
    window: 512,
    context: 262_144,
  };
}

/** The blueprint that a checkpoint of `shape` must give. `stopIds` are those of its vocabulary. */
export function ladderSpec(name: string, shape: LadderShape, stopIds: readonly number[]): ModelSpec {
  return {
    architecture: "mai",
    name,
    hiddenSize: shape.hidden,
    vocabSize: shape.vocab,
    contextLength: shape.context,
    normEps: Math.fround(1e-6),
    tiedEmbeddings: true,
    stopIds,
    layers: Array.from({ length: shape.layers }, (_, layer) => layerSpec(shape, layer)),
  };
}

function layerSpec(shape: LadderShape, layer: number): LayerSpec {
  const isLocal = layer % GLOBAL_EVERY !== GLOBAL_EVERY - 1;
  const isSparse = layer % MOE_EVERY === MOE_EVERY - 1;
  return {
    attention: {
      numHeads: shape.heads,
      numKvHeads: shape.kvHeads,
      headDim: shape.headDim,
      window: isLocal ? shape.window : null,
      ropeTheta: isLocal ? 10_000 : null,
      qkNorm: true,
    },
    mlp: isSparse
      ? {
          kind: "moe",
          numExperts: shape.experts,
          topK: shape.topK,
          latentSize: shape.latent,
          innerSize: shape.inner,
          renormalize: true,
          routingScale: 1,
        }
      : { kind: "dense", innerSize: shape.dense },
    outputNorms: true,
  };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
