/**
 * GLM-4-MoE: the first part of every head turns, the first layers are dense, experts are chosen by sigmoid scores and a
 * bias that only choosing sees, and shared experts run beside them. Layers that draft further tokens are left out.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_EXPERTS, MAX_LAYERS } from "./bounds.ts";
import { flagOr, intOr, readCommon, readDense, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { MoeSpec } from "./spec.ts";

export const glm4Moe: ModelFamily = {
  architecture: "glm4moe",
  hfArchitectures: ["Glm4MoeForCausalLM"],
  describe,
};

const HF_NAMES = hfTensorNames({
  selectionBias: "mlp.gate.e_score_correction_bias",
  sharedGate: "mlp.shared_experts.gate_proj.weight",
  sharedUp: "mlp.shared_experts.up_proj.weight",
  sharedDown: "mlp.shared_experts.down_proj.weight",
});
const GGUF_NAMES = ggufTensorNames({ mlpNorm: "post_attention_norm.weight" });

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, glm4Moe.architecture);
  const { isGguf, fields, key } = common;
  const moe = readMoe(common, { numExperts: "n_routed_experts", innerSize: "moe_intermediate_size" }, true);
  const numShared = intOr(fields, isGguf ? key("expert_shared_count") : "n_shared_experts", MAX_EXPERTS, 0, 0);
  const leadKey = isGguf ? key("leading_dense_block_count") : "first_k_dense_replace";
  const numDense = intOr(fields, leadKey, MAX_LAYERS, 0, 0);
  const isSoftmax = isGguf && fields.has(key("expert_gating_func")) && moe.scoring !== "sigmoid";
  const mlp: MoeSpec = {
    ...moe,
    scoring: isSoftmax ? "softmax" : "sigmoid",
    selectionBias: true,
    shared: numShared > 0 ? { innerSize: numShared * moe.innerSize, gated: false } : undefined,
  };
  const attention = {
    ...common.attention,
    qkvBias: isGguf ? checkpoint.tensors.has("blk.0.attn_q.bias") : flagOr(fields, "attention_bias", false),
    qkNorm: isGguf ? checkpoint.tensors.has("blk.0.attn_q_norm.weight") : flagOr(fields, "use_qk_norm", false),
  };
  const spec = withLayers(common, (layer) => ({
    attention,
    mlp: layer < numDense ? readDense(common) : mlp,
    outputNorms: false,
  }));
  return { spec, names: strict(isGguf ? GGUF_NAMES : HF_NAMES, common.numLayers, spec.tiedEmbeddings) };
}
