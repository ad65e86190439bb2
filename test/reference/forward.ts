/**
 * The whole model, top to bottom, on the reference functions: float64 from the stored weights to the logits, every
 * expert at hand, one timeline with a KV cache. It is what the engine's results are compared with.
 */
import type { DenseSpec, LayerSpec, LayerTensor, ModelSpec, MoeSpec } from "../../src/models/spec.ts";
import { attention, prepareHeads } from "./attention.ts";
import { embed } from "./embed.ts";
import { experts } from "./experts.ts";
import { matmul } from "./matmul.ts";
import { residualNorm } from "./norm.ts";
import type { Selection } from "./router.ts";
import { select } from "./router.ts";
import { argmax } from "./sample.ts";
import { swiglu } from "./swiglu.ts";

/**
 * Dense values of a tensor, row-major [out, in]. Names: "embed", "outputNorm", "head", `layers.${i}.${LayerTensor}`,
 * `layers.${i}.experts.${e}.gate` (`up`, `down`).
 * Of what is optional in a spec it computes biases of queries, keys and values, norms of heads, everything about positions
 * but YaRN, and the factors.
 */
export type TensorProvider = (name: string) => ArrayLike<number>;

/** What one MoE layer chose. */
export interface Route {
  /** Index of the layer in the model. */
  readonly layer: number;
  /** Experts of the last token, in rank order. */
  readonly expertIds: readonly number[];
  readonly routingWeights: readonly number[];
  /** Experts of any token of the pass, ascending. */
  readonly chosen: readonly number[];
}

export interface ForwardResult {
  readonly lastLogits: Float64Array; // [vocab]
  /** What goes into the head: the last hidden states behind the final norm. */
  readonly hidden: Float64Array; // [T, D]
  /** Logits after every token, when asked for. */
  readonly allLogits?: Float64Array; // [T, vocab]
  /** One entry per MoE layer, in order. */
  readonly routes: readonly Route[];
}

export interface Reference {
  /** Starts a new timeline with `tokens`. */
  forward(tokens: readonly number[], options?: { readonly allLogits?: boolean }): ForwardResult;
  /** Appends one token to the timeline. */
  step(token: number): ForwardResult;
  /** Appends `count` tokens, each the most likely after the last logits; returns them. */
  greedy(lastLogits: ArrayLike<number>, count: number): number[];
}

/** Keys and values of one layer, rows appended as tokens come, [n, K · d]. */
interface KvCache {
  readonly k: number[];
  readonly v: number[];
}

/** A model ready to run. */
export function createReference(spec: ModelSpec, tensor: TensorProvider): Reference {
  let caches: KvCache[] = [];
  let length = 0;

  function run(tokens: readonly number[], allLogits: boolean): ForwardResult {
    const positions = tokens.map((_, t) => length + t); // [T]
    length += tokens.length;
    const routes: Route[] = [];
    const { hiddenSize, normEps: eps } = spec;
    const layerGain = (i: number, name: LayerTensor) => tensor(`layers.${i}.${name}`);
    const outputGain = (i: number, name: LayerTensor) => (spec.layers[i]!.outputNorms ? layerGain(i, name) : null);
    const inputGain = (i: number) => (i < spec.layers.length ? layerGain(i, "attnNorm") : tensor("outputNorm"));

    const { embeddingScale = 1, residualScale = 1, logitScale = 1 } = spec;
    const factors = spec.ropeFactors === undefined ? undefined : tensor("ropeFactors"); // [dims / 2]
    let x = times(embed(tensor("embed"), tokens, hiddenSize), embeddingScale); // [T, D]
    let h: Float64Array;
    ({ x, h } = residualNorm({ x, inputGain: inputGain(0), eps })); // [T, D], [T, D]
    for (const [i, layer] of spec.layers.entries()) {
      const weights = (name: string): ArrayLike<number> => tensor(`layers.${i}.${name}`);

      let y = attentionBlock({ h, layer, weights, positions, cache: caches[i]!, hiddenSize, eps, factors }); // [T, D]
      ({ x, h } = residualNorm({
        x,
        y: times(y, residualScale),
        outputGain: outputGain(i, "attnOutputNorm"),
        inputGain: layerGain(i, "mlpNorm"),
        eps,
      })); // [T, D], [T, D]

      if (!layer.mlp) throw new Error(`layer ${i} has no MLP: not a model for this reference`);
      if (layer.mlp.kind === "dense") {
        y = denseBlock(h, layer.mlp, weights, hiddenSize); // [T, D]
      } else {
        const moe = moeBlock(h, layer.mlp, weights, hiddenSize);
        y = moe.y; // [T, D]
        routes.push(describeRoute(i, moe.selection, layer.mlp.topK));
      }
      ({ x, h } = residualNorm({
        x,
        y: times(y, residualScale),
        outputGain: outputGain(i, "mlpOutputNorm"),
        inputGain: inputGain(i + 1),
        eps,
      })); // [T, D], [T, D]
    }
    const head = tensor(spec.tiedEmbeddings ? "embed" : "head"); // [vocab, D]
    const read = allLogits ? h : h.subarray(h.length - hiddenSize); // [T or 1, D]
    const logits = times(matmul(read, head, hiddenSize), logitScale); // [T or 1, vocab]
    const lastLogits = logits.slice(logits.length - spec.vocabSize); // [vocab]
    return { lastLogits, hidden: h, routes, ...(allLogits ? { allLogits: logits } : {}) };
  }

  return {
    forward(tokens, options) {
      caches = spec.layers.map(() => ({ k: [], v: [] }));
      length = 0;
      return run(tokens, options?.allLogits ?? false);
    },
    step: (token) => run([token], false),
    greedy(lastLogits, count) {
      const ids: number[] = [];
      for (let logits = lastLogits; ids.length < count; logits = run([ids.at(-1)!], false).lastLogits) {
        ids.push(argmax(logits));
      }
      return ids;
    },
  };
}

interface AttentionBlockInput {
  readonly h: Float64Array; // [T, D]
  readonly layer: LayerSpec;
  readonly weights: TensorProvider;
  readonly positions: readonly number[];
  readonly cache: KvCache;
  readonly hiddenSize: number;
  readonly eps: number;
  readonly factors: ArrayLike<number> | undefined;
}

function attentionBlock(input: AttentionBlockInput): Float64Array {
  const { h, layer, weights, positions, cache, hiddenSize, eps, factors } = input;
  const { numHeads, numKvHeads, headDim, window, ropeTheta, qkNorm, qkvBias, scale } = layer.attention!;
  const projected = (["q", "k", "v"] as const).map((name) => {
    const product = matmul(h, weights(name), hiddenSize); // [T, heads · d]
    return qkvBias ? plus(product, weights(`${name}Bias`)) : product;
  });
  const qkv = joinColumns(projected, positions.length); // [T, (H + 2K) · d]
  const { q, k, v } = prepareHeads({
    qkv,
    numHeads,
    numKvHeads,
    headDim,
    positions,
    eps,
    ropeTheta,
    dims: layer.attention!.ropeDims,
    interleaved: layer.attention!.ropePairing === "interleaved",
    scaling: layer.attention!.ropeScaling,
    factors,
    qGain: qkNorm ? weights("qNorm") : null,
    kGain: qkNorm ? weights("kNorm") : null,
  }); // [T, H, d], [T, K, d], [T, K, d]
  for (const value of k) cache.k.push(value);
  for (const value of v) cache.v.push(value);
  const out = attention({ q, ...cache, positions, window, numHeads, numKvHeads, headDim, scale }); // [T, H, d]
  return matmul(out, weights("o"), numHeads * headDim); // [T, D]
}

function denseBlock(h: Float64Array, spec: DenseSpec, weights: TensorProvider, hiddenSize: number): Float64Array {
  const gate = matmul(h, weights("gate"), hiddenSize); // [T, inner]
  const up = matmul(h, weights("up"), hiddenSize); // [T, inner]
  return matmul(swiglu(gate, up), weights("down"), spec.innerSize); // [T, D]
}

/** The router reads the full-width vector, also where the experts work in a latent space. */
function moeBlock(
  h: Float64Array, // [T, D]
  spec: MoeSpec,
  weights: TensorProvider,
  hiddenSize: number,
): { y: Float64Array; selection: Selection } {
  const logits = matmul(h, weights("router"), hiddenSize); // [T, E]
  const { numExperts, topK, renormalize, routingScale, latentSize } = spec;
  const selection = select({ logits, numExperts, topK, renormalize, scale: routingScale }); // [T, topK] twice
  const latent = latentSize === null ? h : matmul(h, weights("latentDown"), hiddenSize); // [T, l]
  const mixed = experts({
    x: latent,
    ...selection,
    topK,
    expertWeights: (e) => ({
      gate: weights(`experts.${e}.gate`),
      up: weights(`experts.${e}.up`),
      down: weights(`experts.${e}.down`),
    }),
  }); // [T, l]
  const y = latentSize === null ? mixed : matmul(mixed, weights("latentUp"), latentSize); // [T, D]
  return { y, selection };
}

function times(x: Float64Array, factor: number): Float64Array {
  return x.map((value) => value * factor);
}

/** `bias` added to every row of `x`. */
function plus(x: Float64Array, bias: ArrayLike<number>): Float64Array {
  return x.map((value, i) => value + bias[i % bias.length]!);
}

/** Matrices of `numRows` rows side by side. */
function joinColumns(matrices: readonly Float64Array[], numRows: number): Float64Array {
  const out = new Float64Array(matrices.reduce((sum, matrix) => sum + matrix.length, 0));
  let at = 0;
  for (let row = 0; row < numRows; row++) {
    for (const matrix of matrices) {
      const width = matrix.length / numRows;
      out.set(matrix.subarray(row * width, (row + 1) * width), at);
      at += width;
    }
  }
  return out;
}

function describeRoute(layer: number, { expertIds, routingWeights }: Selection, topK: number): Route {
  return {
    layer,
    expertIds: [...expertIds.subarray(expertIds.length - topK)],
    routingWeights: [...routingWeights.subarray(routingWeights.length - topK)],
    chosen: [...new Set(expertIds)].sort((a, b) => a - b),
  };
}
