/** Names of MAI tensors in Hugging Face folders and in GGUF files. */
import type { TensorNames } from "./family.ts";
import type { LayerTensor, ModelTensor } from "./spec.ts";

const HF_MODEL: Readonly<Record<ModelTensor, string>> = {
  embed: "model.embed_tokens.weight",
  outputNorm: "model.norm.weight",
  head: "lm_head.weight",
};

const HF_LAYER: Readonly<Record<LayerTensor, string>> = {
  attnNorm: "input_layernorm",
  attnOutputNorm: "post_attention_layernorm",
  mlpNorm: "pre_feedforward_layernorm",
  mlpOutputNorm: "post_feedforward_layernorm",
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  qNorm: "self_attn.q_norm",
  kNorm: "self_attn.k_norm",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
  router: "mlp.gate",
  latentDown: "mlp.fc1_latent_proj",
  latentUp: "mlp.fc2_latent_proj",
};

/** Hugging Face names: every expert's matrices are tensors of their own. */
export const hfNames: TensorNames = {
  model: (name) => HF_MODEL[name],
  layer: (layer, name) => `model.layers.${layer}.${HF_LAYER[name]}.weight`,
  experts: (layer, matrix) => ({
    kind: "separate",
    nameOf: (expert) => `model.layers.${layer}.mlp.experts.${expert}.${matrix}_proj.weight`,
  }),
};

const GGUF_MODEL: Readonly<Record<ModelTensor, string>> = {
  embed: "token_embd.weight",
  outputNorm: "output_norm.weight",
  head: "output.weight",
};

const GGUF_LAYER: Readonly<Record<LayerTensor, string>> = {
  attnNorm: "attn_norm",
  attnOutputNorm: "post_attention_norm",
  mlpNorm: "ffn_norm",
  mlpOutputNorm: "post_ffw_norm",
  q: "attn_q",
  k: "attn_k",
  v: "attn_v",
  o: "attn_output",
  qNorm: "attn_q_norm",
  kNorm: "attn_k_norm",
  gate: "ffn_gate",
  up: "ffn_up",
  down: "ffn_down",
  router: "ffn_gate_inp",
  latentDown: "ffn_latent_down",
  latentUp: "ffn_latent_up",
};

/** GGUF names: a layer's experts are stacked, one tensor for each matrix. */
export const ggufNames: TensorNames = {
  model: (name) => GGUF_MODEL[name],
  layer: (layer, name) => `blk.${layer}.${GGUF_LAYER[name]}.weight`,
  experts: (layer, matrix) => ({ kind: "stacked", name: `blk.${layer}.ffn_${matrix}_exps.weight` }),
};
