/** OLMoE: one norm over all queries of a token and one over all keys; routing weights as the softmax leaves them. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { readCommon, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";

export const olmoe: ModelFamily = {
  architecture: "olmoe",
  hfArchitectures: ["OlmoeForCausalLM"],
  describe,
};

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, olmoe.architecture);
  common.fields.only("attention_bias", false);
  common.fields.only("clip_qkv"); // no value of it is supported
  const attention = { ...common.attention, wideQkNorm: true };
  const mlp = readMoe(common, { numExperts: "num_experts", innerSize: "intermediate_size" }, false);
  const spec = withLayers(common, () => ({ attention, mlp, outputNorms: false }));
  const names = common.isGguf ? ggufTensorNames() : hfTensorNames();
  return { spec, names: strict(names, common.numLayers, spec.tiedEmbeddings) };
}
