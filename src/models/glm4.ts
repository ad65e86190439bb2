/**
 * GLM-4 (0414) without experts: norms on both sides of every block, neighbours in the first part of every head turn, and
 * gate over up in one tensor.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { flagOr, readCommon, readDense, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, type LayerHalves, strict } from "./names.ts";

export const glm4: ModelFamily = {
  architecture: "glm4",
  hfArchitectures: ["Glm4ForCausalLM"],
  describe,
};

const HALVES: LayerHalves = { gate: "first", up: "second" };
const GGUF_NAMES = ggufTensorNames({ gate: "ffn_up.weight" }, false, HALVES);
const HF_NAMES = hfTensorNames(
  {
    attnOutputNorm: "post_self_attn_layernorm.weight",
    mlpOutputNorm: "post_mlp_layernorm.weight",
    gate: "mlp.gate_up_proj.weight",
    up: "mlp.gate_up_proj.weight",
  },
  {},
  HALVES,
);

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, glm4.architecture);
  const { isGguf, fields, key } = common;
  fields.only(key("rope.dimension_sections")); // positions of images have several parts
  if (common.attention.ropeDims === undefined) {
    fields.fail(isGguf ? key("rope.dimension_count") : "partial_rotary_factor", "a part of the head");
  }
  const attention = {
    ...common.attention,
    ropePairing: "interleaved" as const,
    qkvBias: isGguf ? checkpoint.tensors.has("blk.0.attn_q.bias") : flagOr(fields, "attention_bias", false),
  };
  const mlp = readDense(common);
  const spec = withLayers(common, () => ({ attention, mlp, outputNorms: true }));
  return { spec, names: strict(isGguf ? GGUF_NAMES : HF_NAMES, common.numLayers, spec.tiedEmbeddings) };
}
