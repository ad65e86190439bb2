/**
 * gpt-oss: layers that see a window take turns with layers that see all, an extra score per head takes part in each
 * softmax, biases on everything, and a clamped activation. Its softmax over the chosen experts is the softmax over all,
 * renormalised. Hugging Face folders keep rows of gate and up in turns in one tensor, and without MXFP4 column by column.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_CONTEXT } from "./bounds.ts";
import { type Common, readCommon, readMoe, withLayers } from "./common.ts";
import type { ExpertMatrix, ExpertPlaces, ModelDescription, ModelFamily, TensorNames } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { MoeSpec } from "./spec.ts";

export const gptOss: ModelFamily = {
  architecture: "gpt-oss",
  hfArchitectures: ["GptOssForCausalLM"],
  describe,
};

const GGUF_NAMES = ggufTensorNames({ mlpNorm: "post_attention_norm.weight" }, true);
/** The bound of its activation, which the kernels have as a constant. */
const SWIGLU_LIMIT = 7;

function describe(checkpoint: Checkpoint): ModelDescription {
  const common = readCommon(checkpoint, gptOss.architecture);
  const { isGguf, fields, key } = common;
  fields.only("attention_bias", true);
  fields.only("swiglu_limit", SWIGLU_LIMIT);
  const window = fields.int(isGguf ? key("attention.sliding_window") : "sliding_window", { max: MAX_CONTEXT });
  const attention = { ...common.attention, qkvBias: true, outputBias: true, sinks: true };
  const mlp: MoeSpec = {
    ...readMoe(common, { numExperts: "num_local_experts", innerSize: "intermediate_size" }, true),
    routerBias: true,
    expertBias: true,
    activation: "clamped-swiglu",
  };
  const isLocal = localLayers(common);
  const spec = withLayers(common, (layer) => ({
    attention: isLocal(layer) ? { ...attention, window } : attention,
    mlp,
    outputNorms: false,
  }));
  const names = isGguf ? GGUF_NAMES : hfNames(checkpoint);
  return { spec, names: strict(names, common.numLayers, spec.tiedEmbeddings) };
}

/** The even layers, unless a folder says otherwise. */
function localLayers({ isGguf, fields, numLayers }: Common): (layer: number) => boolean {
  if (isGguf || !fields.has("layer_types")) return (layer) => layer % 2 === 0;
  const isKind = (item: unknown): item is string => item === "sliding_attention" || item === "full_attention";
  const kinds = fields.list("layer_types", numLayers, '"sliding_attention" or "full_attention"', isKind);
  return (layer) => kinds[layer] === "sliding_attention";
}

function hfNames({ tensors }: Checkpoint): TensorNames {
  const isPacked = tensors.get("model.layers.0.mlp.experts.down_proj")?.dtype === "MXFP4";
  const places = (prefix: string, matrix: ExpertMatrix): ExpertPlaces => {
    const name = `${prefix}mlp.experts.${matrix === "down" ? "down_proj" : "gate_up_proj"}`;
    const place = { kind: "stacked", name, biasName: `${name}_bias`, transposed: !isPacked } as const;
    return matrix === "down" ? place : { ...place, half: matrix === "gate" ? "even" : "odd" };
  };
  const changes = {
    oBias: "self_attn.o_proj.bias",
    sinks: "self_attn.sinks",
    router: "mlp.router.weight",
    routerBias: "mlp.router.bias",
  };
  return hfTensorNames(changes, { places });
}
