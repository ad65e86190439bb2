/**
 * Llama, Mistral and Mixtral: GGUF has all three under one name, with query and key rows in the order that lets neighbours turn
 * together; Hugging Face folders keep the halves. Mixtral's softmax over the chosen experts is the softmax over all,
 * renormalised.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_CONTEXT, MAX_EXPERTS } from "./bounds.ts";
import { type Common, intOr, readCommon, readDense, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { ModelSpec } from "./spec.ts";

export const llama: ModelFamily = {
  architecture: "llama",
  hfArchitectures: ["LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM"],
  describe,
};

const MIXTRAL_NAMES = hfTensorNames(
  { router: "block_sparse_moe.gate.weight" },
  { folder: "block_sparse_moe.experts", matrices: { gate: "w1", up: "w3", down: "w2" } },
);

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, llama.architecture);
  const spec = common.isGguf ? ggufSpec(common) : hfSpec(common);
  const isMoe = spec.layers[0]?.mlp?.kind === "moe";
  const names = common.isGguf ? ggufTensorNames() : isMoe ? MIXTRAL_NAMES : hfTensorNames();
  return { spec, names: strict(names, common.numLayers, spec.tiedEmbeddings) };
}

function ggufSpec(common: Common): ModelSpec {
  const isMoe = intOr(common.fields, common.key("expert_count"), MAX_EXPERTS, 0, 0) > 0;
  const attention = { ...common.attention, ropePairing: "interleaved" } as const;
  const mlp = isMoe ? readMoe(common, KEYS, true) : readDense(common);
  return withLayers(common, () => ({ attention, mlp, outputNorms: false }));
}

const KEYS = { numExperts: "num_local_experts", innerSize: "intermediate_size" };

function hfSpec(common: Common): ModelSpec {
  const { fields } = common;
  for (const key of ["attention_bias", "mlp_bias"]) fields.only(key, false);
  const window = fields.has("sliding_window") ? fields.int("sliding_window", { max: MAX_CONTEXT }) : null;
  const attention = { ...common.attention, window };
  const mlp = fields.has(KEYS.numExperts) ? readMoe(common, KEYS, true) : readDense(common);
  return withLayers(common, () => ({ attention, mlp, outputNorms: false }));
}
