/** Qwen2-MoE: biases on queries, keys and values, and a gated shared expert. Qwen3-MoE: norms of heads instead. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_LAYERS, MAX_WIDTH } from "./bounds.ts";
import { type Common, flagOr, intOr, readCommon, readDense, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { AttentionSpec, MoeSpec } from "./spec.ts";

const KEYS = { numExperts: "num_experts", innerSize: "moe_intermediate_size" };

export const qwen3Moe: ModelFamily = {
  architecture: "qwen3moe",
  hfArchitectures: ["Qwen3MoeForCausalLM"],
  describe: (checkpoint) => {
    const common = readCommon(checkpoint, "qwen3moe");
    common.fields.only("attention_bias", false);
    return described(common, { ...common.attention, qkNorm: true }, readMoe(common, KEYS, common.isGguf));
  },
};

export const qwen2Moe: ModelFamily = {
  architecture: "qwen2moe",
  hfArchitectures: ["Qwen2MoeForCausalLM"],
  describe: (checkpoint: Checkpoint) => {
    const common = readCommon(checkpoint, "qwen2moe");
    const { isGguf, fields, key } = common;
    const innerKey = isGguf ? key("expert_shared_feed_forward_length") : "shared_expert_intermediate_size";
    const shared = { innerSize: fields.int(innerKey, { max: MAX_WIDTH }), gated: true };
    const qkvBias = isGguf || flagOr(fields, "qkv_bias", true);
    return described(common, { ...common.attention, qkvBias }, { ...readMoe(common, KEYS, false), shared });
  },
};

const HF_NAMES = hfTensorNames({
  sharedRouter: "mlp.shared_expert_gate.weight",
  sharedGate: "mlp.shared_expert.gate_proj.weight",
  sharedUp: "mlp.shared_expert.up_proj.weight",
  sharedDown: "mlp.shared_expert.down_proj.weight",
});

function described(common: Common, attention: AttentionSpec, moe: MoeSpec): ModelDescription {
  common.fields.only("use_sliding_window", false);
  const isSparse = sparseLayers(common);
  const spec = withLayers(common, (layer) => ({
    attention,
    mlp: isSparse(layer) ? moe : readDense(common),
    outputNorms: false,
  }));
  const names = common.isGguf ? ggufTensorNames() : HF_NAMES;
  return { spec, names: strict(names, common.numLayers, spec.tiedEmbeddings) };
}

/** Every `decoder_sparse_step`-th layer has experts, but for `mlp_only_layers`. GGUF files have them in all. */
function sparseLayers({ isGguf, fields, numLayers }: Common): (layer: number) => boolean {
  if (isGguf) return () => true;
  const step = intOr(fields, "decoder_sparse_step", MAX_LAYERS, 1);
  const dense = fields.ids("mlp_only_layers", numLayers);
  return (layer) => (layer + 1) % step === 0 && !dense.includes(layer);
}
