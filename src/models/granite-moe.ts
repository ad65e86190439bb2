/**
 * Granite-MoE: factors on embeddings, scores, block outputs and logits; sometimes a shared expert without a gate. GGUF
 * files let neighbours turn together, Hugging Face folders the halves, and those keep gate over up in one tensor.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_WIDTH } from "./bounds.ts";
import { type Common, positiveOr, readCommon, readMoe, refuse, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { MoeSpec } from "./spec.ts";

export const graniteMoe: ModelFamily = {
  architecture: "granitemoe",
  hfArchitectures: ["GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"],
  describe,
};

const HF_NAMES = hfTensorNames(
  { router: "block_sparse_moe.router.layer.weight" },
  {
    places: (prefix, matrix) => {
      const folder = `${prefix}block_sparse_moe.`;
      if (matrix === "down") return { kind: "stacked", name: `${folder}output_linear.weight` };
      return { kind: "stacked", name: `${folder}input_linear.weight`, half: matrix === "gate" ? "first" : "second" };
    },
  },
);

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, graniteMoe.architecture);
  const { isGguf, fields, key } = common;
  fields.only("attention_bias", false);
  const factor = (gguf: string, hf: string, otherwise: number) =>
    positiveOr(fields, isGguf ? key(gguf) : hf, otherwise);
  const attention = {
    ...common.attention,
    scale: factor("attention.scale", "attention_multiplier", 1 / Math.sqrt(common.attention.headDim)),
    ropePairing: isGguf ? "interleaved" : "half",
  } as const;
  const mlp = moeSpec(common);
  const spec = {
    ...withLayers(common, () => ({ attention, mlp, outputNorms: false })),
    embeddingScale: factor("embedding_scale", "embedding_multiplier", 1),
    residualScale: factor("residual_scale", "residual_multiplier", 1),
    logitScale: 1 / factor("logit_scale", "logits_scaling", 1),
  };
  return { spec, names: strict(isGguf ? ggufTensorNames() : HF_NAMES, common.numLayers, spec.tiedEmbeddings) };
}

function moeSpec(common: Common): MoeSpec {
  const { isGguf, fields, key } = common;
  const moe = readMoe(common, { numExperts: "num_local_experts", innerSize: "intermediate_size" }, true);
  const innerKey = isGguf ? key("expert_shared_feed_forward_length") : "shared_intermediate_size";
  const inner = fields.has(innerKey) ? fields.int(innerKey, { min: 0, max: MAX_WIDTH }) : 0;
  if (inner === 0) return moe;
  if (!isGguf) refuse("GraniteMoeShared", "a shared expert whose gate and up share a tensor; use its GGUF file");
  return { ...moe, shared: { innerSize: inner, gated: false } };
}
