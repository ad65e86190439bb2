/** Which tensors a model must have, and their shapes: read off the spec alone, never off what a file holds. */
import type { ExpertMatrix } from "../models/family.ts";
import type {
  AttentionSpec,
  DenseSpec,
  LatentSpec,
  LayerSpec,
  LayerTensor,
  ModelSpec,
  ModelTensor,
  MoeSpec,
  SharedExpertSpec,
} from "../models/spec.ts";

/** A tensor outside the layers, or one of a layer. */
export type TensorRef = ModelTensor | { readonly layer: number; readonly name: LayerTensor };

/** Shape of a tensor: `[n]` for a vector, `[rows, cols]` for a matrix. */
export type Shape = readonly [number] | readonly [number, number];

/** One needed tensor. */
export interface ExpectedTensor {
  readonly ref: TensorRef;
  readonly shape: Shape;
  /** The file has so many matrices of equal size one upon another, as a tensor of three dimensions. */
  readonly stacked?: number;
}

/** Every tensor that stays on the GPU, experts left out. */
export function expectedDense(spec: ModelSpec): ExpectedTensor[] {
  const embedShape: Shape = [spec.vocabSize, spec.hiddenSize];
  const expected: ExpectedTensor[] = [
    { ref: "embed", shape: embedShape },
    { ref: "outputNorm", shape: [spec.hiddenSize] },
  ];
  if (spec.ropeFactors !== undefined) expected.push({ ref: "ropeFactors", shape: [spec.ropeFactors] });
  if (!spec.tiedEmbeddings) expected.push({ ref: "head", shape: embedShape });
  spec.layers.forEach((layer, index) => {
    for (const [name, shape, stacked] of layerTensors(layer, spec.hiddenSize)) {
      expected.push({ ref: { layer: index, name }, shape, ...(stacked === undefined ? {} : { stacked }) });
    }
  });
  return expected;
}

/** Names and shapes of a layer's tensors; `stacked` as in `ExpectedTensor`. */
type Tensors = [LayerTensor, Shape, stacked?: number][];

function layerTensors({ attention, conv, mlp, outputNorms }: LayerSpec, hiddenSize: number): Tensors {
  const tensors: Tensors = [];
  if (attention || conv) tensors.push(["attnNorm", [hiddenSize]]);
  if (attention) tensors.push(...attentionTensors(attention, hiddenSize));
  if (conv) {
    tensors.push(["convIn", [3 * hiddenSize, hiddenSize]], ["convOut", [hiddenSize, hiddenSize]]);
    tensors.push(["conv", [hiddenSize, conv.kernel]]);
  }
  if (outputNorms && (attention || conv)) tensors.push(["attnOutputNorm", [hiddenSize]]);
  if (!mlp) return tensors;
  tensors.push(["mlpNorm", [hiddenSize]]);
  if (outputNorms) tensors.push(["mlpOutputNorm", [hiddenSize]]);
  return [...tensors, ...(mlp.kind === "dense" ? denseTensors(mlp, hiddenSize) : moeTensors(mlp, hiddenSize))];
}

function attentionTensors(attention: AttentionSpec, hiddenSize: number): Tensors {
  const { numHeads, numKvHeads, headDim, qkNorm, wideQkNorm, qkvBias, outputBias, sinks, outputGate } = attention;
  if (attention.latent) return latentTensors(attention, attention.latent, hiddenSize);
  const [qRows, kvRows] = [numHeads * headDim, numKvHeads * headDim];
  const tensors: Tensors = [
    ["q", [qRows, hiddenSize]],
    ["k", [kvRows, hiddenSize]],
    ["v", [kvRows, hiddenSize]],
    ["o", [hiddenSize, qRows]],
  ];
  if (qkNorm) tensors.push(["qNorm", [headDim]], ["kNorm", [headDim]]);
  if (wideQkNorm) tensors.push(["qNorm", [qRows]], ["kNorm", [kvRows]]);
  if (qkvBias) tensors.push(["qBias", [qRows]], ["kBias", [kvRows]], ["vBias", [kvRows]]);
  if (outputBias) tensors.push(["oBias", [hiddenSize]]);
  if (sinks) tensors.push(["sinks", [numHeads]]);
  if (outputGate) tensors.push(["outputGate", [qRows, hiddenSize]]);
  return tensors;
}

function denseTensors({ innerSize, activation }: DenseSpec, hiddenSize: number): Tensors {
  const tensors: Tensors = [
    ["up", [innerSize, hiddenSize]],
    ["down", [hiddenSize, innerSize]],
  ];
  return hasGate(activation) ? [["gate", [innerSize, hiddenSize]], ...tensors] : tensors;
}

/** Of a layer whose keys and values are made of latents. The heads' parts of `kUp` and `vUp` are stacked. */
function latentTensors(
  { numHeads, headDim, ropeDims = 0 }: AttentionSpec,
  { rank, valueDim, queryRank, split }: LatentSpec,
  hiddenSize: number,
): Tensors {
  const plainDim = headDim - ropeDims;
  const tensors: Tensors = [
    ["q", [numHeads * headDim, queryRank ?? hiddenSize]],
    ["kvDown", [rank + ropeDims, hiddenSize]],
    ["kvDownNorm", [rank]],
    ["o", [hiddenSize, numHeads * valueDim]],
  ];
  if (queryRank !== undefined) tensors.push(["qDown", [queryRank, hiddenSize]], ["qDownNorm", [queryRank]]);
  if (!split) return [...tensors, ["kvUp", [numHeads * (plainDim + valueDim), rank]]];
  tensors.push(["kUp", [numHeads * rank, plainDim], numHeads], ["vUp", [numHeads * valueDim, rank], numHeads]);
  return tensors;
}

function moeTensors(mlp: MoeSpec, hiddenSize: number): Tensors {
  const tensors: Tensors = [["router", [mlp.numExperts, hiddenSize]]];
  if (mlp.latentSize !== null) {
    tensors.push(["latentDown", [mlp.latentSize, hiddenSize]], ["latentUp", [hiddenSize, mlp.latentSize]]);
  }
  if (mlp.routerBias) tensors.push(["routerBias", [mlp.numExperts]]);
  if (mlp.selectionBias) tensors.push(["selectionBias", [mlp.numExperts]]);
  return mlp.shared ? [...tensors, ...sharedTensors(mlp.shared, hiddenSize)] : tensors;
}

function sharedTensors({ innerSize, gated, activation }: SharedExpertSpec, hiddenSize: number): Tensors {
  const tensors: Tensors = [
    ["sharedUp", [innerSize, hiddenSize]],
    ["sharedDown", [hiddenSize, innerSize]],
  ];
  if (hasGate(activation)) tensors.push(["sharedGate", [innerSize, hiddenSize]]);
  return gated ? [...tensors, ["sharedRouter", [1, hiddenSize]]] : tensors;
}

/** Whether an MLP of this activation has a gate matrix. */
export function hasGate(activation: MoeSpec["activation"]): boolean {
  return activation !== "relu2";
}

/** An expert's matrices, in the order in which a slot and the stored ranges have them. */
export function expertMatrices({ activation }: MoeSpec): readonly ExpertMatrix[] {
  return hasGate(activation) ? ["gate", "up", "down"] : ["up", "down"];
}

/** Shape of one expert's `matrix`: [inner, width] or, for down, [width, inner]. */
export function expertShape(moe: MoeSpec, matrix: ExpertMatrix, hiddenSize: number): readonly [number, number] {
  const width = moe.latentSize ?? hiddenSize;
  return matrix === "down" ? [width, moe.innerSize] : [moe.innerSize, width];
}
