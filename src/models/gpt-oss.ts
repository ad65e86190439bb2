/**
 * gpt-oss: every other layer sees a window, an extra score per head takes part in each softmax, biases on everything,
 * and a clamped activation. Its softmax over the chosen experts is the softmax over all, renormalised.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_CONTEXT } from "./bounds.ts";
import { readCommon, readMoe, refuse, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, strict } from "./names.ts";
import type { MoeSpec } from "./spec.ts";

export const gptOss: ModelFamily = {
  architecture: "gpt-oss",
  hfArchitectures: ["GptOssForCausalLM"],
  describe,
};

function describe(checkpoint: Checkpoint): ModelDescription {
  if (checkpoint.container !== "gguf") {
    refuse(
      "GptOssForCausalLM",
      "its folder interleaves rows of gate and up, which is not supported; use its GGUF file",
    );
  }
  const common = readCommon(checkpoint, gptOss.architecture);
  const { fields, key } = common;
  const window = fields.int(key("attention.sliding_window"), { max: MAX_CONTEXT });
  const attention = { ...common.attention, qkvBias: true, outputBias: true, sinks: true };
  const mlp: MoeSpec = {
    ...readMoe(common, { numExperts: "num_local_experts", innerSize: "intermediate_size" }, true),
    routerBias: true,
    expertBias: true,
    activation: "clamped-swiglu",
  };
  const spec = withLayers(common, (layer) => ({
    attention: layer % 2 === 0 ? { ...attention, window } : attention,
    mlp,
    outputNorms: false,
  }));
  const names = ggufTensorNames({ mlpNorm: "post_attention_norm.weight" }, true);
  return { spec, names: strict(names, common.numLayers, spec.tiedEmbeddings) };
}
