/** Qwen2 and Qwen3 without experts: biases on queries, keys and values; norms of heads instead. */
import { type Common, readCommon, readDense, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { AttentionSpec } from "./spec.ts";

export const qwen2: ModelFamily = {
  architecture: "qwen2",
  hfArchitectures: ["Qwen2ForCausalLM"],
  describe: (checkpoint) => {
    const common = readCommon(checkpoint, "qwen2");
    return described(common, { ...common.attention, qkvBias: true });
  },
};

export const qwen3: ModelFamily = {
  architecture: "qwen3",
  hfArchitectures: ["Qwen3ForCausalLM"],
  describe: (checkpoint) => {
    const common = readCommon(checkpoint, "qwen3");
    common.fields.only("attention_bias", false);
    return described(common, { ...common.attention, qkNorm: true });
  },
};

function described(common: Common, attention: AttentionSpec): ModelDescription {
  common.fields.only("use_sliding_window", false);
  const mlp = readDense(common);
  const spec = withLayers(common, () => ({ attention, mlp, outputNorms: false }));
  const names = common.isGguf ? ggufTensorNames() : hfTensorNames();
  return { spec, names: strict(names, common.numLayers, spec.tiedEmbeddings) };
}
