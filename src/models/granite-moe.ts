/**
 * Granite, dense and MoE: factors on embeddings, scores, block outputs and logits; with experts sometimes a shared one
 * without a gate. GGUF files let neighbours turn together, Hugging Face folders the halves, and those keep gate over up in
 * one tensor wherever there are experts.
 */
import { MAX_WIDTH } from "./bounds.ts";
import { type Common, positiveOr, readCommon, readDense, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily, TensorNames } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { DenseSpec, MoeSpec } from "./spec.ts";

export const graniteMoe: ModelFamily = {
  architecture: "granitemoe",
  hfArchitectures: ["GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"],
  describe: (checkpoint) => {
    const common = readCommon(checkpoint, graniteMoe.architecture);
    return describe(common, moeSpec(common), HF_MOE_NAMES);
  },
};

export const granite: ModelFamily = {
  architecture: "granite",
  hfArchitectures: ["GraniteForCausalLM"],
  describe: (checkpoint) => {
    const common = readCommon(checkpoint, granite.architecture);
    common.fields.only("mlp_bias", false);
    return describe(common, readDense(common), hfTensorNames());
  },
};

const SHARED_INPUT = "shared_mlp.input_linear.weight";
const HF_MOE_NAMES = hfTensorNames(
  {
    router: "block_sparse_moe.router.layer.weight",
    sharedGate: SHARED_INPUT,
    sharedUp: SHARED_INPUT,
    sharedDown: "shared_mlp.output_linear.weight",
  },
  {
    places: (prefix, matrix) => {
      const folder = `${prefix}block_sparse_moe.`;
      if (matrix === "down") return { kind: "stacked", name: `${folder}output_linear.weight` };
      return { kind: "stacked", name: `${folder}input_linear.weight`, half: matrix === "gate" ? "first" : "second" };
    },
  },
  { sharedGate: "first", sharedUp: "second" },
);

function describe(common: Common, mlp: DenseSpec | MoeSpec, hfNames: TensorNames): ModelDescription {
  const { isGguf, fields, key } = common;
  fields.only("attention_bias", false);
  const factor = (gguf: string, hf: string, otherwise: number) =>
    positiveOr(fields, isGguf ? key(gguf) : hf, otherwise);
  const attention = {
    ...common.attention,
    scale: factor("attention.scale", "attention_multiplier", 1 / Math.sqrt(common.attention.headDim)),
    ropePairing: isGguf ? "interleaved" : "half",
  } as const;
  const spec = {
    ...withLayers(common, () => ({ attention, mlp, outputNorms: false })),
    embeddingScale: factor("embedding_scale", "embedding_multiplier", 1),
    residualScale: factor("residual_scale", "residual_multiplier", 1),
    logitScale: 1 / factor("logit_scale", "logits_scaling", 1),
  };
  return { spec, names: strict(isGguf ? ggufTensorNames() : hfNames, common.numLayers, spec.tiedEmbeddings) };
}

function moeSpec(common: Common): MoeSpec {
  const { isGguf, fields, key } = common;
  const moe = readMoe(common, { numExperts: "num_local_experts", innerSize: "intermediate_size" }, true);
  const innerKey = isGguf ? key("expert_shared_feed_forward_length") : "shared_intermediate_size";
  const inner = fields.has(innerKey) ? fields.int(innerKey, { min: 0, max: MAX_WIDTH }) : 0;
  return inner === 0 ? moe : { ...moe, shared: { innerSize: inner, gated: false } };
}
