/** What a checkpoint is and what it needs, as plain data: from headers and arithmetic, before anything is loaded. */
import { UsageError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { DType } from "../formats/dtype.ts";
import type { AttentionSpec, ModelSpec } from "../models/spec.ts";
import { expectedDense, expertMatrices, expertShape } from "../weights/expected.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { kvCacheBytes } from "./kv-cache.ts";
import { memoryNeeds, planMemory, sessionBytes } from "./memory-plan.ts";
import { DEFAULT_CONTEXT, kvBuffers, kvBytes, kvCapacity, modelSizes, moeLayers, PREFILL_CHUNK } from "./sizes.ts";

/** The largest storage binding that WebGPU promises on every device, in bytes. */
export const DEFAULT_MAX_BINDING_BYTES = 128 * 2 ** 20;

export interface DescribeOptions {
  /** Tokens of KV cache within the budgets; more than the model's context count as that. Default 2048. */
  readonly contextLength?: number | undefined;
  /** Largest storage binding of the device in question, in bytes. Default: what every WebGPU device has. */
  readonly maxBindingBytes?: number | undefined;
}

/** Structured-cloneable. Sizes are bytes, and of GPU buffers unless said otherwise. */
export interface CheckpointDescription {
  readonly container: Checkpoint["container"];
  /** Files that hold the weights. */
  readonly numShards: number;
  readonly name: string;
  readonly architecture: string;
  readonly numLayers: number;
  /** Layers with a dense MLP, and with experts; a layer of a hybrid model may have neither. */
  readonly numDenseLayers: number;
  readonly numMoeLayers: number;
  /** Layers with attention, and with a short convolution. */
  readonly numAttentionLayers: number;
  readonly numConvLayers: number;
  /** Tokens. */
  readonly vocabSize: number;
  /** Longest context the model was made for, in tokens. */
  readonly contextLength: number;
  readonly parameters: ParameterCounts;
  /** `null` for a model without MoE layers. */
  readonly experts: ExpertFacts | null;
  /** Stored bytes of the tensors in the file by storage type, the most bytes first. */
  readonly storage: readonly StorageShare[];
  readonly kv: KvFacts;
  readonly memory: MemoryFacts;
}

/** Counted from the shapes that the model needs; a tied embedding counts once, tensors that nothing uses not at all. */
export interface ParameterCounts {
  readonly total: number;
  /** What one token's forward pass can touch: everything dense, embedding and head included, and top-k experts. */
  readonly active: number;
  readonly experts: number;
}

/** Where layers differ, the counts are the largest. */
export interface ExpertFacts {
  readonly perLayer: number;
  readonly topK: number;
  /** GPU bytes of one expert in the layer with the smallest and in that with the largest. */
  readonly smallestBytes: number;
  readonly largestBytes: number;
}

export type { DType };

/** How much of the model is stored in one type. */
export interface StorageShare {
  readonly dtype: DType;
  readonly bytes: number;
  /** 0 to 1, of the bytes of all tensors. */
  readonly share: number;
}

/** What the KV cache takes, in bytes. */
export interface KvFacts {
  /** One session's cache at `MemoryFacts.contextLength`, the rings of short convolutions included. */
  readonly bytes: number;
  /** What 1,000 more tokens take in the layers without a window; the others stop growing at theirs. */
  readonly bytesPer1000Tokens: number;
  /** One session's cache at the model's full context. */
  readonly bytesAtFullContext: number;
  /** Most tokens whose keys fit one binding in every layer; the model's context where nothing is in the way. */
  readonly longestContext: number;
}

/** What the weights take and the budgets that follow, in bytes. */
export interface MemoryFacts {
  /** What the sizes below were computed for. */
  readonly maxBindingBytes: number;
  readonly contextLength: number;
  /** Everything that stays on the GPU: all weights but the experts. */
  readonly denseBytes: number;
  /** All experts of the model. */
  readonly expertBytes: number;
  /** Smallest budget that works, one session included. */
  readonly minBudgetBytes: number;
  /** Room for half of what can be resident: on the built-in model 65 % hits, against 36 % at a quarter. */
  readonly comfortableBudgetBytes: number;
  /** Budget beyond which nothing more becomes resident. */
  readonly fullBudgetBytes: number;
  /** What is resident of `expertBytes` then: all, unless the bindings of the device hold fewer. */
  readonly mostResidentBytes: number;
}

/**
 * Describes a checkpoint that was opened, named and mapped; reads nothing.
 * @throws UsageError for a senseless context length; BudgetError when bindings of that size cannot hold one layer's
 *   top-k experts.
 */
export function describeCheckpoint(
  checkpoint: Checkpoint,
  spec: ModelSpec,
  weights: WeightMap,
  options: DescribeOptions = {},
): CheckpointDescription {
  const { contextLength: wanted = DEFAULT_CONTEXT, maxBindingBytes = DEFAULT_MAX_BINDING_BYTES } = options;
  if (!Number.isSafeInteger(wanted) || wanted < 1) {
    throw new UsageError(`contextLength ${wanted}: expected a whole number of tokens, 1 or more.`);
  }
  const contextLength = Math.min(spec.contextLength, wanted);
  const numMoeLayers = moeLayers(spec).length;
  return {
    container: checkpoint.container,
    numShards: checkpoint.shards.length,
    name: spec.name,
    architecture: spec.architecture,
    numLayers: spec.layers.length,
    numDenseLayers: spec.layers.filter(({ mlp }) => mlp?.kind === "dense").length,
    numAttentionLayers: spec.layers.filter(({ attention }) => attention !== null).length,
    numConvLayers: spec.layers.filter(({ conv }) => conv !== undefined).length,
    numMoeLayers,
    vocabSize: spec.vocabSize,
    contextLength: spec.contextLength,
    parameters: countParameters(spec),
    experts: expertFacts(spec, weights),
    storage: storageShares(checkpoint),
    kv: kvFacts(spec, contextLength, maxBindingBytes),
    memory: memoryFacts(spec, weights, contextLength, maxBindingBytes),
  };
}

function countParameters(spec: ModelSpec): ParameterCounts {
  const product = (shape: readonly number[]): number => shape.reduce((size, length) => size * length, 1);
  const dense = expectedDense(spec).reduce((sum, { shape }) => sum + product(shape), 0);
  let experts = 0;
  let chosen = 0;
  for (const { mlp } of moeLayers(spec)) {
    const shapes = expertMatrices(mlp).map((matrix) => expertShape(mlp, matrix, spec.hiddenSize));
    const each = shapes.reduce((sum, shape) => sum + product(shape), 0);
    experts += each * mlp.numExperts;
    chosen += each * mlp.topK;
  }
  return { total: dense + experts, active: dense + chosen, experts };
}

function expertFacts(spec: ModelSpec, weights: WeightMap): ExpertFacts | null {
  const layers = moeLayers(spec);
  if (layers.length === 0) return null;
  const bytes = layers.map(({ layer }) => weights.expertLayout(layer).words * 4);
  return {
    perLayer: Math.max(...layers.map(({ mlp }) => mlp.numExperts)),
    topK: Math.max(...layers.map(({ mlp }) => mlp.topK)),
    smallestBytes: Math.min(...bytes),
    largestBytes: Math.max(...bytes),
  };
}

function storageShares({ tensors }: Checkpoint): StorageShare[] {
  const bytesOf = new Map<DType, number>();
  let total = 0;
  for (const { dtype, byteLength, scales } of tensors.values()) {
    const bytes = byteLength + (scales?.byteLength ?? 0);
    bytesOf.set(dtype, (bytesOf.get(dtype) ?? 0) + bytes);
    total += bytes;
  }
  const shares = [...bytesOf].map(([dtype, bytes]) => ({ dtype, bytes, share: total === 0 ? 0 : bytes / total }));
  return shares.sort((a, b) => b.bytes - a.bytes);
}

function kvFacts(spec: ModelSpec, contextLength: number, maxBindingBytes: number): KvFacts {
  const attentions = spec.layers.map(({ attention }) => attention).filter((attention) => attention !== null);
  const growing = attentions.filter(({ window }) => window === null);
  return {
    bytes: kvCacheBytes(spec, contextLength, PREFILL_CHUNK),
    bytesPer1000Tokens: growing.reduce((sum, attention) => sum + kvBuffers(attention) * kvBytes(attention, 1000), 0),
    bytesAtFullContext: kvCacheBytes(spec, spec.contextLength, PREFILL_CHUNK),
    longestContext: Math.min(
      spec.contextLength,
      ...attentions.map((each) => bindableContext(each, spec.contextLength, maxBindingBytes)),
    ),
  };
}

function bindableContext(attention: AttentionSpec, contextLength: number, maxBindingBytes: number): number {
  const capacity = kvCapacity(attention, contextLength, PREFILL_CHUNK);
  if (kvBytes(attention, capacity) <= maxBindingBytes) return contextLength;
  return Math.floor(maxBindingBytes / kvBytes(attention, 1));
}

function memoryFacts(spec: ModelSpec, weights: WeightMap, contextLength: number, maxBindingBytes: number): MemoryFacts {
  const sizes = modelSizes(spec);
  const needs = memoryNeeds(spec, weights, sizes, maxBindingBytes);
  const plan = planMemory(needs, sessionBytes(spec, sizes, contextLength), undefined);
  return {
    maxBindingBytes,
    contextLength,
    denseBytes: plan.denseBytes,
    expertBytes: plan.expertBytes,
    minBudgetBytes: plan.minBudgetBytes,
    comfortableBudgetBytes: Math.max(plan.minBudgetBytes, plan.fullBudgetBytes - Math.floor(plan.slotBytes / 2)),
    fullBudgetBytes: plan.fullBudgetBytes,
    mostResidentBytes: plan.slotBytes,
  };
}
