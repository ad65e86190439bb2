/** Reads and bounds the MAI configuration of both containers into one record. Key spellings live here and end here. */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import {
  MAX_CONTEXT,
  MAX_EXPERTS,
  MAX_HEAD_DIM,
  MAX_HEADS,
  MAX_LAYERS,
  MAX_TOP_K,
  MAX_VOCAB,
  MAX_WIDTH,
} from "./bounds.ts";
import { type Fields, readFields } from "./fields.ts";
import type { MoeSpec } from "./spec.ts";

/** A MAI configuration, validated; the same whichever container it came from. */
export interface MaiFields {
  readonly name: string;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly normEps: number;
  readonly tiedEmbeddings: boolean;
  readonly stopIds: readonly number[];
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Of the sliding-window layers; 0 when there are none. */
  readonly window: number;
  readonly ropeTheta: number;
  /** 0 when no layer is dense. */
  readonly denseInnerSize: number;
  /** Of the sparse layers; zeros when there are none. */
  readonly moe: Omit<MoeSpec, "kind">;
  /** Per layer: sliding window with RoPE, or global without positions. */
  readonly isLocal: readonly boolean[];
  /** Per layer: experts, or one dense MLP. */
  readonly isSparse: readonly boolean[];
}

const NO_MOE: MaiFields["moe"] = {
  numExperts: 0,
  topK: 0,
  latentSize: null,
  innerSize: 0,
  renormalize: false,
  routingScale: 1,
};

/** From `config.json`. @throws FormatError, UnsupportedError. */
export function maiFieldsFromHf(config: Readonly<Record<string, unknown>>): MaiFields {
  const fields = readFields(config, "config.json");
  fields.only("hidden_act", "silu");
  fields.only("scoring_func", "softmax");
  for (const key of ["attention_bias", "mlp_bias"]) fields.only(key, false);
  for (const key of ["n_shared_experts", "num_shared_experts"]) fields.only(key, 0);
  if (fields.has("rope_scaling")) throw new UnsupportedError('config.json: "rope_scaling" is not supported for mai');
  const numLayers = fields.int("num_hidden_layers", { max: MAX_LAYERS });
  const vocabSize = fields.int("vocab_size", { max: MAX_VOCAB });
  const isLocal = kinds(fields, "layer_types", numLayers, "sliding_attention", "full_attention");
  const isSparse = kinds(fields, "mlp_layer_types", numLayers, "sparse", "dense");
  return {
    name: fields.has("_name_or_path") ? fields.text("_name_or_path") : "mai",
    hiddenSize: fields.int("hidden_size", { max: MAX_WIDTH }),
    vocabSize,
    contextLength: fields.int("max_position_embeddings", { max: MAX_CONTEXT }),
    normEps: fields.positive("rms_norm_eps"),
    tiedEmbeddings: fields.has("tie_word_embeddings") && fields.bool("tie_word_embeddings"),
    stopIds: fields.ids("eos_token_id", vocabSize),
    numHeads: fields.int("num_attention_heads", { max: MAX_HEADS }),
    numKvHeads: fields.int("num_key_value_heads", { max: MAX_HEADS }),
    headDim: fields.int("head_dim", { max: MAX_HEAD_DIM }),
    window: isLocal.includes(true) ? fields.int("sliding_window", { max: MAX_CONTEXT }) : 0,
    ropeTheta: fields.positive("rope_theta"),
    denseInnerSize: isSparse.includes(false) ? fields.int("intermediate_size", { max: MAX_WIDTH }) : 0,
    moe: isSparse.includes(true) ? hfMoe(fields) : NO_MOE,
    isLocal,
    isSparse,
  };
}

function hfMoe(fields: Fields): MaiFields["moe"] {
  const numExperts = fields.int("num_experts", { max: MAX_EXPERTS });
  return {
    numExperts,
    topK: fields.int("num_experts_per_tok", { max: Math.min(MAX_TOP_K, numExperts) }),
    latentSize: fields.int("moe_latent_size", { max: MAX_WIDTH }),
    innerSize: fields.int("moe_intermediate_size", { max: MAX_WIDTH }),
    renormalize: fields.bool("norm_topk_prob"),
    routingScale: fields.has("routed_scaling_factor") ? fields.positive("routed_scaling_factor") : 1,
  };
}

function kinds(fields: Fields, key: string, numLayers: number, yes: string, no: string): boolean[] {
  const what = `"${yes}" or "${no}"`;
  const isKind = (item: unknown): item is string => item === yes || item === no;
  return fields.list(key, numLayers, what, isKind).map((item) => item === yes);
}

/** From GGUF metadata. The tensor table tells what metadata leaves out: vocabulary size and tied embeddings. */
export function maiFieldsFromGguf(checkpoint: Checkpoint): MaiFields {
  const fields = readFields(checkpoint.config, "GGUF metadata");
  // llama.cpp's number for a softmax router.
  fields.only("mai.expert_gating_func", 1);
  fields.only("mai.expert_shared_count", 0);
  fields.only("mai.rope.scaling.type", "none");
  const numLayers = fields.int("mai.block_count", { max: MAX_LAYERS });
  const headDim = fields.int("mai.attention.key_length", { max: MAX_HEAD_DIM });
  for (const key of ["mai.attention.value_length", "mai.rope.dimension_count"]) fields.only(key, headDim);
  const vocabSize = ggufVocabSize(checkpoint, fields);
  const isFlag = (item: unknown): item is boolean => typeof item === "boolean";
  const isLocal = fields.list("mai.attention.sliding_window_pattern", numLayers, "true or false", isFlag);
  const isSparse = fields.list("mai.moe_layer_pattern", numLayers, "true or false", isFlag);
  return {
    name: fields.has("general.name") ? fields.text("general.name") : "mai",
    hiddenSize: fields.int("mai.embedding_length", { max: MAX_WIDTH }),
    vocabSize,
    contextLength: fields.int("mai.context_length", { max: MAX_CONTEXT }),
    normEps: fields.positive("mai.attention.layer_norm_rms_epsilon"),
    tiedEmbeddings: !checkpoint.tensors.has("output.weight"),
    stopIds: fields.ids("tokenizer.ggml.eos_token_id", vocabSize),
    numHeads: fields.int("mai.attention.head_count", { max: MAX_HEADS }),
    numKvHeads: fields.int("mai.attention.head_count_kv", { max: MAX_HEADS }),
    headDim,
    window: isLocal.includes(true) ? fields.int("mai.attention.sliding_window", { max: MAX_CONTEXT }) : 0,
    ropeTheta: fields.positive("mai.rope.freq_base"),
    denseInnerSize: isSparse.includes(false) ? fields.int("mai.feed_forward_length", { max: MAX_WIDTH }) : 0,
    moe: isSparse.includes(true) ? ggufMoe(fields) : NO_MOE,
    isLocal,
    isSparse,
  };
}

function ggufMoe(fields: Fields): MaiFields["moe"] {
  const numExperts = fields.int("mai.expert_count", { max: MAX_EXPERTS });
  return {
    numExperts,
    topK: fields.int("mai.expert_used_count", { max: Math.min(MAX_TOP_K, numExperts) }),
    latentSize: fields.int("mai.moe_latent_size", { max: MAX_WIDTH }),
    innerSize: fields.int("mai.expert_feed_forward_length", { max: MAX_WIDTH }),
    renormalize: fields.bool("mai.expert_weights_norm"),
    routingScale: fields.has("mai.expert_weights_scale") ? fields.positive("mai.expert_weights_scale") : 1,
  };
}

function ggufVocabSize(checkpoint: Checkpoint, fields: Fields): number {
  if (fields.has("mai.vocab_size")) return fields.int("mai.vocab_size", { max: MAX_VOCAB });
  const rows = checkpoint.tensors.get("token_embd.weight")?.shape[0];
  if (rows !== undefined && rows <= MAX_VOCAB) return rows;
  throw new FormatError(
    `GGUF metadata: expected "token_embd.weight" with up to ${MAX_VOCAB} rows, got ${rows ?? "none"}`,
  );
}
