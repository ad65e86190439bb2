/**
 * The tensor names that most families share, in both containers; a family states only where it differs. Names end here:
 * the rest of Octavo says `LayerTensor`.
 */
import type { ExpertMatrix, ExpertPlaces, Half, TensorNames } from "./family.ts";
import type { LayerTensor, ModelTensor } from "./spec.ts";

/** What follows a layer's prefix in the names of its tensors. */
export type LayerNames = Readonly<Partial<Record<LayerTensor, string>>>;

/** The matrices that share a tensor with another. */
export type LayerHalves = Readonly<Partial<Record<LayerTensor, Half>>>;

const GGUF_MODEL: Readonly<Record<ModelTensor, string>> = {
  embed: "token_embd.weight",
  outputNorm: "output_norm.weight",
  head: "output.weight",
  ropeFactors: "rope_freqs.weight",
};

const GGUF_LAYER: Readonly<Record<LayerTensor, string>> = {
  attnNorm: "attn_norm.weight",
  attnOutputNorm: "post_attention_norm.weight",
  mlpNorm: "ffn_norm.weight",
  mlpOutputNorm: "post_ffw_norm.weight",
  q: "attn_q.weight",
  k: "attn_k.weight",
  v: "attn_v.weight",
  o: "attn_output.weight",
  qNorm: "attn_q_norm.weight",
  kNorm: "attn_k_norm.weight",
  gate: "ffn_gate.weight",
  up: "ffn_up.weight",
  down: "ffn_down.weight",
  router: "ffn_gate_inp.weight",
  latentDown: "ffn_latent_down.weight",
  latentUp: "ffn_latent_up.weight",
  qBias: "attn_q.bias",
  kBias: "attn_k.bias",
  vBias: "attn_v.bias",
  oBias: "attn_output.bias",
  sinks: "attn_sinks.weight",
  outputGate: "attn_gate.weight",
  convIn: "shortconv.in_proj.weight",
  conv: "shortconv.conv.weight",
  convOut: "shortconv.out_proj.weight",
  qDown: "attn_q_a.weight",
  qDownNorm: "attn_q_a_norm.weight",
  kvDown: "attn_kv_a_mqa.weight",
  kvDownNorm: "attn_kv_a_norm.weight",
  kvUp: "attn_kv_b.weight",
  kUp: "attn_k_b.weight",
  vUp: "attn_v_b.weight",
  routerBias: "ffn_gate_inp.bias",
  selectionBias: "exp_probs_b.bias",
  sharedRouter: "ffn_gate_inp_shexp.weight",
  sharedGate: "ffn_gate_shexp.weight",
  sharedUp: "ffn_up_shexp.weight",
  sharedDown: "ffn_down_shexp.weight",
};

/** Names in GGUF files: a layer's experts are stacked, one tensor for each matrix; so are their biases, if any. */
export function ggufTensorNames(changes: LayerNames = {}, expertBias = false, halves: LayerHalves = {}): TensorNames {
  const layerNames = { ...GGUF_LAYER, ...changes };
  return {
    model: (name) => GGUF_MODEL[name],
    layer: (layer, name) => `blk.${layer}.${layerNames[name]}`,
    half: (name) => halves[name],
    experts: (layer, matrix) => ({
      kind: "stacked",
      name: `blk.${layer}.ffn_${matrix}_exps.weight`,
      ...(expertBias ? { biasName: `blk.${layer}.ffn_${matrix}_exps.bias` } : {}),
    }),
  };
}

const HF_MODEL: Readonly<Partial<Record<ModelTensor, string>>> = {
  embed: "model.embed_tokens.weight",
  outputNorm: "model.norm.weight",
  head: "lm_head.weight",
};

const HF_LAYER: LayerNames = {
  attnNorm: "input_layernorm.weight",
  mlpNorm: "post_attention_layernorm.weight",
  q: "self_attn.q_proj.weight",
  k: "self_attn.k_proj.weight",
  v: "self_attn.v_proj.weight",
  o: "self_attn.o_proj.weight",
  qBias: "self_attn.q_proj.bias",
  kBias: "self_attn.k_proj.bias",
  vBias: "self_attn.v_proj.bias",
  qNorm: "self_attn.q_norm.weight",
  kNorm: "self_attn.k_norm.weight",
  gate: "mlp.gate_proj.weight",
  up: "mlp.up_proj.weight",
  down: "mlp.down_proj.weight",
  router: "mlp.gate.weight",
};

const HF_EXPERT: Readonly<Record<ExpertMatrix, string>> = { gate: "gate_proj", up: "up_proj", down: "down_proj" };

/** What a family's Hugging Face names of experts differ in. */
export interface HfExperts {
  /** Where the experts are, behind the layer's prefix. */
  readonly folder?: string;
  readonly matrices?: Readonly<Record<ExpertMatrix, string>>;
  /** Full answer for a layer's matrix, behind the layer's prefix; over the two above. */
  readonly places?: (prefix: string, matrix: ExpertMatrix) => ExpertPlaces;
}

/** Names in Hugging Face folders: every expert's matrices are tensors of their own, unless `experts` says otherwise. */
export function hfTensorNames(
  changes: LayerNames = {},
  experts: HfExperts = {},
  halves: LayerHalves = {},
): TensorNames {
  const layerNames: LayerNames = { ...HF_LAYER, ...changes };
  const { folder = "mlp.experts", matrices = HF_EXPERT, places } = experts;
  return {
    model: (name) => HF_MODEL[name] ?? name,
    layer: (layer, name) => `model.layers.${layer}.${layerNames[name] ?? name}`,
    half: (name) => halves[name],
    experts: (layer, matrix) => {
      const prefix = `model.layers.${layer}.`;
      if (places) return places(prefix, matrix);
      return { kind: "separate", nameOf: (expert) => `${prefix}${folder}.${expert}.${matrices[matrix]}.weight` };
    },
  };
}

/** `names`, with every tensor refused that nothing reads, but for layers past the model's and tables of rotations. */
export function strict(names: TensorNames, numLayers: number, tiedEmbeddings: boolean): TensorNames {
  return {
    ...names,
    ignores: (name) => {
      const layer = /^(?:blk|model\.layers)\.(\d+)\./.exec(name)?.[1];
      if (layer !== undefined && Number(layer) >= numLayers) return true; // layers that draft further tokens
      return name.endsWith("rotary_emb.inv_freq") || (tiedEmbeddings && name === names.model("head"));
    },
  };
}
