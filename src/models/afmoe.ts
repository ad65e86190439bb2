/**
 * AFMoE (Trinity): three layers that see a window and turn to one global layer without positions, norms of heads and on
 * both sides of every block, a gate on the heads' outputs, and embeddings times the square root of the width.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS } from "./bounds.ts";
import { type Common, flagOr, intOr, positiveOr, readCommon, readDense, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { MoeSpec } from "./spec.ts";

export const afmoe: ModelFamily = {
  architecture: "afmoe",
  hfArchitectures: ["AfmoeForCausalLM"],
  describe,
};

const HF_NAMES = hfTensorNames({
  attnOutputNorm: "post_attention_layernorm.weight",
  mlpNorm: "pre_mlp_layernorm.weight",
  mlpOutputNorm: "post_mlp_layernorm.weight",
  outputGate: "self_attn.gate_proj.weight",
  router: "mlp.router.gate.weight",
  selectionBias: "mlp.expert_bias",
  sharedGate: "mlp.shared_experts.gate_proj.weight",
  sharedUp: "mlp.shared_experts.up_proj.weight",
  sharedDown: "mlp.shared_experts.down_proj.weight",
});

/** Every so many layers one is global, where the configuration does not say. */
const GLOBAL_EVERY = 4;

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, afmoe.architecture);
  const { isGguf, fields, key } = common;
  const numDense = intOr(fields, isGguf ? key("leading_dense_block_count") : "num_dense_layers", MAX_LAYERS, 0, 0);
  const mlp = moeSpec(common);
  const window = fields.int(isGguf ? key("attention.sliding_window") : "sliding_window", { max: MAX_CONTEXT });
  const attention = { ...common.attention, qkNorm: true, outputGate: true };
  const isGlobal = globalLayers(common);
  const layers = withLayers(common, (layer) => ({
    attention: isGlobal(layer) ? { ...attention, ropeTheta: null } : { ...attention, window },
    mlp: layer < numDense ? readDense(common) : mlp,
    outputNorms: true,
  }));
  const scaled = isGguf || flagOr(fields, "mup_enabled", false);
  const spec = { ...layers, embeddingScale: scaled ? Math.sqrt(common.model.hiddenSize) : undefined };
  return { spec, names: strict(isGguf ? ggufTensorNames() : HF_NAMES, common.numLayers, spec.tiedEmbeddings) };
}

function moeSpec(common: Common): MoeSpec {
  const { isGguf, fields, key } = common;
  const moe = readMoe(common, { numExperts: "num_experts", innerSize: "moe_intermediate_size" }, false);
  fields.only("score_func", "sigmoid", "softmax");
  const scoreKey = isGguf ? key("expert_gating_func") : "score_func";
  const isSigmoid =
    !fields.has(scoreKey) || moe.scoring === "sigmoid" || (!isGguf && fields.text(scoreKey) === "sigmoid");
  const numShared = intOr(fields, isGguf ? key("expert_shared_count") : "num_shared_experts", MAX_EXPERTS, 0, 0);
  return {
    ...moe,
    // Folders normalise sigmoid scores only.
    renormalize: isGguf ? moe.renormalize : isSigmoid && flagOr(fields, "route_norm", true),
    routingScale: isGguf ? moe.routingScale : positiveOr(fields, "route_scale", 1),
    scoring: isSigmoid ? "sigmoid" : "softmax",
    selectionBias: true,
    shared: numShared > 0 ? { innerSize: numShared * moe.innerSize, gated: false } : undefined,
  };
}

function globalLayers({ isGguf, fields, key, numLayers }: Common): (layer: number) => boolean {
  if (!isGguf && fields.has("layer_types")) {
    const isKind = (item: unknown): item is string => item === "sliding_attention" || item === "full_attention";
    const kinds = fields.list("layer_types", numLayers, '"sliding_attention" or "full_attention"', isKind);
    return (layer) => kinds[layer] === "full_attention";
  }
  const every = isGguf ? key("attention.sliding_window_pattern") : "global_attn_every_n_layers";
  const period = intOr(fields, every, MAX_LAYERS, GLOBAL_EVERY);
  return (layer) => (layer + 1) % period === 0;
}
