/**
 * What one decoded token costs of a model, and what must come over before the first: counts and bytes read off the spec and
 * the table of tensors, before anything is loaded. The pass that is counted here is `decodePlan`.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { LayerSpec, ModelSpec } from "../models/spec.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { numPieces } from "./device-weights.ts";
import { kvBuffers, kvBytes, kvCapacity, moeLayers } from "./sizes.ts";

/** Sizes in bytes; "stored" is as in the file, the others as on the GPU. */
export interface TokenWork {
  /** Dispatches of one pass, sampling included. */
  readonly dispatches: number;
  /** Matrices that every token goes through: all but the embedding, of which it takes one row. */
  readonly denseBytes: number;
  /** Of the chosen experts, all MoE layers together. */
  readonly chosenExpertBytes: number;
  readonly moe: readonly MoeWork[];
  /** Everything in the file but experts. */
  readonly storedDenseBytes: number;
  readonly storedExpertBytes: number;
}

/** One MoE layer. */
export interface MoeWork {
  readonly numExperts: number;
  readonly topK: number;
  /** One expert on the GPU and in the file. */
  readonly slotBytes: number;
  readonly storedBytes: number;
  /** Runs of the file that an expert is read from. */
  readonly ranges: number;
}

/** @param maxBindingBytes largest storage binding of the device. */
export function tokenWork(
  spec: ModelSpec,
  weights: WeightMap,
  checkpoint: Checkpoint,
  maxBindingBytes: number,
): TokenWork {
  const moe = moeLayers(spec).map(({ layer, mlp: { numExperts, topK } }): MoeWork => {
    const ranges = weights.expertRanges(layer, 0);
    const storedBytes = ranges.reduce((sum, { length }) => sum + length, 0);
    return { numExperts, topK, slotBytes: weights.expertLayout(layer).words * 4, storedBytes, ranges: ranges.length };
  });
  const sum = (of: (layer: MoeWork) => number): number => moe.reduce((total, layer) => total + of(layer), 0);
  const storedExpertBytes = sum(({ numExperts, storedBytes }) => numExperts * storedBytes);
  return {
    dispatches: countDispatches(spec, weights, maxBindingBytes),
    denseBytes: matrixBytesPerToken(spec, weights),
    chosenExpertBytes: sum(({ topK, slotBytes }) => topK * slotBytes),
    moe,
    storedDenseBytes: Math.max(0, storedBytes(checkpoint) - storedExpertBytes),
    storedExpertBytes,
  };
}

/** Bytes of keys and values that one token reads behind `position` others. */
export function kvBytesRead(spec: ModelSpec, position: number): number {
  return spec.layers.reduce((sum, { attention }) => {
    if (!attention) return sum;
    return sum + kvBuffers(attention) * kvBytes(attention, Math.min(position, kvCapacity(attention, position, 1)));
  }, 0);
}

function storedBytes({ tensors }: Checkpoint): number {
  let total = 0;
  for (const { byteLength, scales } of tensors.values()) total += byteLength + (scales?.byteLength ?? 0);
  return total;
}

function matrixBytesPerToken(spec: ModelSpec, weights: WeightMap): number {
  return weights.dense.reduce((sum, { ref, shape }) => {
    const isLookedUp = ref === "embed" && !spec.tiedEmbeddings;
    return shape.length === 1 || isLookedUp ? sum : sum + weights.matrix(ref).words * 4;
  }, 0);
}

function countDispatches(spec: ModelSpec, weights: WeightMap, maxBindingBytes: number): number {
  const pieces = (ref: "embed" | "head"): number => numPieces(weights.matrix(ref), maxBindingBytes);
  const ends = pieces("embed") + 1 + pieces(spec.tiedEmbeddings ? "embed" : "head") + 1; // embed, norm, head, sample
  return spec.layers.reduce((sum, layer) => sum + mixerDispatches(layer) + mlpDispatches(layer), ends);
}

function mixerDispatches({ attention, conv }: LayerSpec): number {
  if (attention?.latent) return attention.latent.queryRank === undefined ? 7 : 8;
  if (attention) return 4 + (attention.outputGate ? 1 : 0) + (attention.wideQkNorm ? 1 : 0);
  return conv ? 4 : 0;
}

function mlpDispatches({ mlp }: LayerSpec): number {
  if (!mlp) return 0;
  if (mlp.kind === "dense") return 3;
  return 5 + (mlp.latentSize === null ? 0 : 1) + (mlp.shared ? 2 : 0);
}
