/**
 * The blueprint of a model as plain data: what the engine needs to build a forward pass and nothing else. A model
 * family describes itself here (`mai.ts`); the engine computes. Structured-cloneable, so it crosses to the page as is.
 */

/**
 * YaRN: rotary angles of a longer context than the model was first made for. Slow turns are stretched by `factor`, fast
 * ones are left alone, those between are mixed; sines and cosines grow by `1 + 0.1 ln factor`.
 */
export interface YarnSpec {
  readonly factor: number;
  /** Context length before the stretch, in tokens. */
  readonly originalContext: number;
  /** Turns within `originalContext` from which on an element counts as fast, and up to which it counts as slow. */
  readonly betaFast: number;
  readonly betaSlow: number;
  /** Round the two limits to whole elements, outwards. */
  readonly truncate: boolean;
  /** What sines and cosines are multiplied by, where it is not `1 + 0.1 ln factor`. */
  readonly size?: number | undefined;
}

/**
 * Attention whose keys and values are made of one short vector a token, the latent; only that is cached. A head's key is
 * its part of `kUp` times the latent, followed by `ropeDims` elements that turn and that all heads share; its value is
 * its part of `vUp` times the latent. `headDim` is that of the keys, and its last `ropeDims` elements turn.
 */
export interface LatentSpec {
  /** Elements of a latent. */
  readonly rank: number;
  /** Elements of a value. */
  readonly valueDim: number;
  /** Elements of the compressed query that the heads' queries are made of; absent: they are made of the stream. */
  readonly queryRank?: number | undefined;
  /** `kUp` and `vUp` are tensors of their own, `kUp` transposed; absent: both are `kvUp`, head by head. */
  readonly split?: boolean | undefined;
}

/**
 * Other ways to stretch rotary angles. `linear`: all turn `factor` times slower. `llama3`: pairs that turn less than
 * `lowFreqFactor` times within `originalContext` do, those that turn more than `highFreqFactor` times are left alone, those
 * between are mixed.
 */
export type RopeScaling =
  | { readonly kind: "linear"; readonly factor: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      /** Context length before the stretch, in tokens. */
      readonly originalContext: number;
    };

/** Grouped-query attention of one layer. What is optional is absent in most models. */
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
  /** RMSNorm of all queries, and of all keys, of a token at once, before RoPE and instead of `qkNorm`. */
  readonly wideQkNorm?: boolean | undefined;
  /** `interleaved`: elements 2j and 2j + 1 turn together, not j and j + ropeDims/2. */
  readonly ropePairing?: "half" | "interleaved" | undefined;
  /** The first elements of a head that turn; all of them when absent. */
  readonly ropeDims?: number | undefined;
  readonly yarn?: YarnSpec | undefined;
  /** Instead of `yarn`. */
  readonly ropeScaling?: RopeScaling | undefined;
  /** Factor on the scores; 1 / sqrt(headDim) when absent. */
  readonly scale?: number | undefined;
  /** Biases on the projections of queries, keys and values; of the output. */
  readonly qkvBias?: boolean | undefined;
  readonly outputBias?: boolean | undefined;
  /** One more score per head that takes its share of the softmax and has no value. */
  readonly sinks?: boolean | undefined;
  /** The heads' outputs are multiplied by sigmoid(outputGate h) before the output projection. */
  readonly outputGate?: boolean | undefined;
  /** Keys and values from a latent; with one KV head, `ropeDims`, and none of the options above but positions and scale. */
  readonly latent?: LatentSpec | undefined;
}

/**
 * A gated convolution over the last tokens: in(h) gives b, c, x of the model's width each; the output is
 * out(c * sum of the last `kernel` tokens' b * x, each times its tap), channel by channel. Tokens before the first are zeros.
 */
export interface ShortConvSpec {
  /** Taps, the token's own included. */
  readonly kernel: number;
}

/** `swiglu` is silu(gate x) * up x; `relu2` is max(up x, 0) squared, and there is no gate matrix. */
export type MlpActivation = "swiglu" | "relu2";

/** down(activation). */
export interface DenseSpec {
  readonly kind: "dense";
  readonly innerSize: number;
  /** `swiglu` when absent. */
  readonly activation?: MlpActivation | undefined;
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
  /** What makes routing weights of router logits: softmax over all experts when absent. */
  readonly scoring?: "softmax" | "sigmoid" | undefined;
  /** A number per expert that is added to its score for choosing, not for mixing. */
  readonly selectionBias?: boolean | undefined;
  /** Experts are chosen within the best of their groups only. */
  readonly groups?: ExpertGroups | undefined;
  /** A bias on the router logits. */
  readonly routerBias?: boolean | undefined;
  /** Biases on gate, up and down of every expert. */
  readonly expertBias?: boolean | undefined;
  /** `swiglu` when absent; `clamped-swiglu` is min(g, 7) sigmoid(1.702 g) (clamp(u, -7, 7) + 1) of gate and up. */
  readonly activation?: MlpActivation | "clamped-swiglu" | undefined;
  /** An expert that runs for every token, beside the chosen ones, at full width. */
  readonly shared?: SharedExpertSpec | undefined;
}

/** Groups of neighbouring experts, all of one size. */
export interface ExpertGroups {
  readonly count: number;
  /** Groups that a token may choose from. */
  readonly used: number;
  /** What a group is worth: the value its best expert is chosen by, or the sum of its best two. */
  readonly worth: "best" | "best two";
}

/** An expert that every token goes through, beside those that the router chooses. */
export interface SharedExpertSpec {
  readonly innerSize: number;
  /** Its output is multiplied by sigmoid(sharedRouter h). */
  readonly gated: boolean;
  /** `swiglu` when absent. */
  readonly activation?: MlpActivation | undefined;
}

/** A mixer of tokens (attention or `conv`, not both), then an MLP; a layer may lack either, and one without both adds nothing. */
export interface LayerSpec {
  readonly attention: AttentionSpec | null;
  readonly conv?: ShortConvSpec | undefined;
  readonly mlp: DenseSpec | MoeSpec | null;
  /** RMSNorm on the output of attention and MLP, before the residual add. */
  readonly outputNorms: boolean;
}

/** A model's blueprint: everything that the forward pass is built from, as plain data. */
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
  /** Factors on embedding rows, on what every block adds to the residual stream, and on logits; 1 when absent. */
  readonly embeddingScale?: number | undefined;
  readonly residualScale?: number | undefined;
  readonly logitScale?: number | undefined;
  /** Length of the tensor `ropeFactors`, where there is one: pair j of a head turns that many times slower, in all layers. */
  readonly ropeFactors?: number | undefined;
}

/** Canonical names of the tensors outside the layers, and of one layer's. */
export type ModelTensor = "embed" | "outputNorm" | "head" | "ropeFactors";
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
  | "latentUp"
  | "qBias"
  | "kBias"
  | "vBias"
  | "oBias"
  | "sinks"
  | "outputGate"
  | "convIn"
  | "conv"
  | "convOut"
  | "qDown"
  | "qDownNorm"
  | "kvDown"
  | "kvDownNorm"
  | "kvUp"
  | "kUp"
  | "vUp"
  | "routerBias"
  | "selectionBias"
  | "sharedRouter"
  | "sharedGate"
  | "sharedUp"
  | "sharedDown";
