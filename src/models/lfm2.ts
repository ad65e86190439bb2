/**
 * LFM2 and LFM2-MoE: most layers mix tokens by a short gated convolution, the others by attention with norms of heads. Of the
 * MoE model the first layers are dense; experts are chosen by sigmoid scores and a bias that only choosing sees.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_CONTEXT, MAX_HEADS, MAX_LAYERS, MAX_WIDTH } from "./bounds.ts";
import { type Common, flagOr, intOr, positiveOr, readCommon, readDense, readMoe, withLayers } from "./common.ts";
import type { ModelDescription, ModelFamily, TensorNames } from "./family.ts";
import { type Fields, readFields } from "./fields.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import { perLayer, respelled } from "./per-layer.ts";
import type { AttentionSpec, DenseSpec, LayerSpec, MoeSpec } from "./spec.ts";

export const lfm2: ModelFamily = {
  architecture: "lfm2",
  hfArchitectures: ["Lfm2ForCausalLM"],
  describe: (checkpoint) => describe(checkpoint, false),
};

export const lfm2Moe: ModelFamily = {
  architecture: "lfm2moe",
  hfArchitectures: ["Lfm2MoeForCausalLM"],
  describe: (checkpoint) => describe(checkpoint, true),
};

/** Taps, where a configuration does not say. */
const KERNEL = 3;

const GGUF_NAMES = withOutputNorm(ggufTensorNames(), "token_embd_norm.weight");
const HF_NAMES = withOutputNorm(
  hfTensorNames(
    {
      attnNorm: "operator_norm.weight",
      mlpNorm: "ffn_norm.weight",
      o: "self_attn.out_proj.weight",
      qNorm: "self_attn.q_layernorm.weight",
      kNorm: "self_attn.k_layernorm.weight",
      convIn: "conv.in_proj.weight",
      conv: "conv.conv.weight",
      convOut: "conv.out_proj.weight",
      gate: "feed_forward.w1.weight",
      up: "feed_forward.w3.weight",
      down: "feed_forward.w2.weight",
      router: "feed_forward.gate.weight",
      selectionBias: "feed_forward.expert_bias",
    },
    { folder: "feed_forward.experts", matrices: { gate: "w1", up: "w3", down: "w2" } },
  ),
  "model.embedding_norm.weight",
);

function withOutputNorm(names: TensorNames, outputNorm: string): TensorNames {
  return { ...names, model: (name) => (name === "outputNorm" ? outputNorm : names.model(name)) };
}

function describe(checkpoint: Checkpoint, isMoe: boolean): ModelDescription {
  const isGguf = checkpoint.container === "gguf";
  const { common, attentions } = isGguf ? readGguf(checkpoint, isMoe) : readHf(checkpoint, isMoe);
  const { fields, key, numLayers } = common;
  const kernel = intOr(fields, isGguf ? key("shortconv.l_cache") : "conv_L_cache", MAX_CONTEXT, KERNEL);
  const numDense = isMoe
    ? intOr(fields, isGguf ? key("leading_dense_block_count") : "num_dense_layers", MAX_LAYERS, 0, 0)
    : numLayers;
  const dense = numDense > 0 ? denseSpec(common, isMoe) : null;
  const moe = numDense < numLayers ? moeSpec(common) : null;
  const spec = withLayers(common, (layer): LayerSpec => {
    const attention = attentions[layer] ?? null;
    const mlp = layer < numDense ? dense : moe;
    return { attention, conv: attention ? undefined : { kernel }, mlp, outputNorms: false };
  });
  return { spec, names: strict(isGguf ? GGUF_NAMES : HF_NAMES, numLayers, spec.tiedEmbeddings) };
}

/** What a container says, and the attention of every layer that has one. */
interface Read {
  readonly common: Common;
  readonly attentions: readonly (AttentionSpec | null)[];
}

/** Key-value heads are listed by layer; one that has none convolves. */
function readGguf(checkpoint: Checkpoint, isMoe: boolean): Read {
  const architecture = isMoe ? lfm2Moe.architecture : lfm2.architecture;
  const fields = readFields(checkpoint.config, "GGUF metadata");
  const numLayers = fields.int(`${architecture}.block_count`, { max: MAX_LAYERS });
  fields.only(`${architecture}.attention.sliding_window`, 0);
  const key = `${architecture}.attention.head_count_kv`;
  const kvHeads = perLayer(checkpoint, fields, key, numLayers, MAX_HEADS);
  /** The configuration as if all layers had this many. */
  const withHeads = (numKvHeads: number) => readCommon(respelled(checkpoint, { [key]: numKvHeads }), architecture);
  const attentions = kvHeads.map((count) => (count > 0 ? { ...withHeads(count).attention, qkNorm: true } : null));
  return { common: withHeads(Math.max(1, ...kvHeads)), attentions };
}

function readHf(checkpoint: Checkpoint, isMoe: boolean): Read {
  const { config } = checkpoint;
  const spelled = respelled(checkpoint, {
    rms_norm_eps: config.norm_eps,
    rope_theta: config.rope_theta ?? config.theta ?? 1_000_000,
    tie_word_embeddings: config.tie_embedding ?? config.tie_word_embeddings ?? true,
    intermediate_size: config.block_ff_dim ?? config.intermediate_size,
  });
  const common = readCommon(spelled, isMoe ? lfm2Moe.architecture : lfm2.architecture);
  common.fields.only("conv_bias", false);
  const attention = { ...common.attention, qkNorm: true };
  return { common, attentions: attentionLayers(common).map((attends) => (attends ? attention : null)) };
}

function attentionLayers({ fields, numLayers }: Common): boolean[] {
  if (!fields.has("layer_types")) {
    const indices = fields.ids("full_attn_idxs", numLayers);
    return Array.from({ length: numLayers }, (_, layer) => !fields.has("full_attn_idxs") || indices.includes(layer));
  }
  const isKind = (item: unknown): item is string => item === "conv" || item === "full_attention";
  return fields
    .list("layer_types", numLayers, '"conv" or "full_attention"', isKind)
    .map((kind) => kind === "full_attention");
}

/** The dense model's folders state a width that is still to be cut to two thirds and rounded up. */
function denseSpec(common: Common, isMoe: boolean): DenseSpec {
  const dense = readDense(common);
  if (common.isGguf || isMoe || !flagOr(common.fields, "block_auto_adjust_ff_dim", true)) return dense;
  return { ...dense, innerSize: adjusted(common.fields, dense.innerSize) };
}

function adjusted(fields: Fields, width: number): number {
  const cut = Math.trunc(positiveOr(fields, "block_ffn_dim_multiplier", 1) * Math.trunc((2 * width) / 3));
  const multiple = intOr(fields, "block_multiple_of", MAX_WIDTH, 256);
  const rounded = multiple * Math.ceil(cut / multiple);
  return rounded >= 1 && rounded <= MAX_WIDTH
    ? rounded
    : fields.fail("intermediate_size", `a width up to ${MAX_WIDTH}`);
}

function moeSpec(common: Common): MoeSpec {
  const { isGguf, fields, key } = common;
  const moe = readMoe(common, { numExperts: "num_experts", innerSize: "moe_intermediate_size" }, true);
  const isSoftmax = isGguf && fields.has(key("expert_gating_func")) && moe.scoring !== "sigmoid";
  return {
    ...moe,
    scoring: isSoftmax ? "softmax" : "sigmoid",
    selectionBias: isGguf || flagOr(fields, "use_expert_bias", true),
  };
}
