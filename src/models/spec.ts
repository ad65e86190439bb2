/**
 * The blueprint of a model as plain data: what the engine needs to build a forward pass and nothing else. A model
 * family describes itself here (`mai.ts`); the engine computes. Structured-cloneable, so it crosses to the page as is.
 */

/** Grouped-query attention of one layer. */
export interface AttentionSpec {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Keys visible to a query, itself included (`0 <= i - j < window`); `null` for full causal attention. */
  readonly window: number | null;
  /** Rotary base; `null` for a layer without positions. Element j pairs with j + headDim/2. */
  readonly ropeTheta: number | null;
  /** RMSNorm of every query and key head before RoPE. */
  readonly qkNorm: boolean;
}

/** down(silu(gate x) * up x). */
export interface DenseSpec {
  readonly kind: "dense";
  readonly innerSize: number;
}

/** Router over `numExperts`, the best `topK` run and are mixed. */
export interface MoeSpec {
  readonly kind: "moe";
  readonly numExperts: number;
  readonly topK: number;
  /** Width of the experts' input and output when they work in a latent space; `null` when that is `hiddenSize`. */
  readonly latentSize: number | null;
  readonly innerSize: number;
  /** Divide the chosen experts' routing weights by their sum. */
  readonly renormalize: boolean;
  /** Factor on the routing weights, after renormalisation. */
  readonly routingScale: number;
}

export interface LayerSpec {
  readonly attention: AttentionSpec;
  readonly mlp: DenseSpec | MoeSpec;
  /** RMSNorm on the output of attention and MLP, before the residual add. */
  readonly outputNorms: boolean;
}

export interface ModelSpec {
  readonly architecture: string;
  readonly name: string;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** Longest context the model was made for, in tokens. */
  readonly contextLength: number;
  readonly normEps: number;
  readonly tiedEmbeddings: boolean;
  /** Ids that end a text. */
  readonly stopIds: readonly number[];
  readonly layers: readonly LayerSpec[];
}

/** Canonical names of the tensors outside the layers, and of one layer's. */
export type ModelTensor = "embed" | "outputNorm" | "head";
export type LayerTensor =
  | "attnNorm"
  | "attnOutputNorm"
  | "mlpNorm"
  | "mlpOutputNorm"
  | "q"
  | "k"
  | "v"
  | "o"
  | "qNorm"
  | "kNorm"
  | "gate"
  | "up"
  | "down"
  | "router"
  | "latentDown"
  | "latentUp";
