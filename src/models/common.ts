/**
 * What nearly all configurations say, read and bounded once for both containers: sizes, heads, positions, experts. A
 * family adds what is its own. Key spellings that several families share live here.
 */
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
import { GGUF_ROPE_KINDS, ggufRopeScaling, HF_ROPE_KINDS, hfRopeScaling } from "./rope-scaling.ts";
import type { AttentionSpec, DenseSpec, LayerSpec, ModelSpec, MoeSpec, RopeScaling, YarnSpec } from "./spec.ts";

/** What a configuration says of all but attention and experts. */
export interface Frame {
  readonly isGguf: boolean;
  readonly fields: Fields;
  /** A GGUF key of the family. */
  readonly key: (name: string) => string;
  readonly numLayers: number;
  /** The model without its layers. */
  readonly model: Omit<ModelSpec, "layers">;
}

/** The shared part of a configuration. */
export interface Common extends Frame {
  /** Full causal attention with half pairing and nothing optional but the rotation's range and stretch. */
  readonly attention: AttentionSpec;
}

/** @throws FormatError, UnsupportedError. */
export function readFrame(checkpoint: Checkpoint, architecture: string): Frame {
  return checkpoint.container === "gguf" ? ggufFrame(checkpoint, architecture) : hfFrame(checkpoint, architecture);
}

/** @throws FormatError, UnsupportedError. */
export function readCommon(checkpoint: Checkpoint, architecture: string): Common {
  const frame = readFrame(checkpoint, architecture);
  const common = { ...frame, attention: frame.isGguf ? ggufAttention(frame) : hfAttention(frame, checkpoint) };
  const { numHeads, numKvHeads, headDim, ropeDims = headDim } = common.attention;
  const where = frame.isGguf ? "GGUF metadata" : "config.json";
  if (numHeads % numKvHeads !== 0) {
    throw new FormatError(
      `${where}: expected query heads to be a multiple of KV heads, got ${numHeads} and ${numKvHeads}`,
    );
  }
  if (headDim % 2 !== 0 || ropeDims % 2 !== 0 || ropeDims > headDim) {
    throw new FormatError(
      `${where}: expected an even head dimension and as many or fewer elements that turn, got ${headDim}, ${ropeDims}`,
    );
  }
  const { ropeFactors = ropeDims / 2 } = common.model;
  if (ropeFactors !== ropeDims / 2) {
    throw new FormatError(`${where}: expected "rope_freqs.weight" [${ropeDims / 2}], got [${ropeFactors}]`);
  }
  return common;
}

function ggufFrame(checkpoint: Checkpoint, architecture: string): Frame {
  const fields = readFields(checkpoint.config, "GGUF metadata");
  const key = (name: string) => `${architecture}.${name}`;
  const hiddenSize = fields.int(key("embedding_length"), { max: MAX_WIDTH });
  const vocabSize = ggufVocabSize(checkpoint, fields, key("vocab_size"));
  const drafting = intOr(fields, key("nextn_predict_layers"), MAX_LAYERS, 0, 0);
  return {
    isGguf: true,
    fields,
    key,
    numLayers: fields.int(key("block_count"), { max: MAX_LAYERS, min: drafting + 1 }) - drafting,
    model: {
      architecture,
      name: fields.has("general.name") ? fields.text("general.name") : architecture,
      hiddenSize,
      vocabSize,
      contextLength: fields.int(key("context_length"), { max: MAX_CONTEXT }),
      normEps: fields.positive(key("attention.layer_norm_rms_epsilon")),
      tiedEmbeddings: !checkpoint.tensors.has("output.weight"),
      stopIds: fields.ids("tokenizer.ggml.eos_token_id", vocabSize),
      ropeFactors: checkpoint.tensors.get("rope_freqs.weight")?.shape[0],
    },
  };
}

function ggufAttention({ fields, key, model }: Frame): AttentionSpec {
  const numHeads = fields.int(key("attention.head_count"), { max: MAX_HEADS });
  const headDim = intOr(fields, key("attention.key_length"), MAX_HEAD_DIM, model.hiddenSize / numHeads);
  fields.only(key("attention.value_length"), headDim);
  const ropeDims = intOr(fields, key("rope.dimension_count"), MAX_HEAD_DIM, headDim);
  const yarn = ggufYarn(fields, key);
  if (yarn) fields.only(key("rope.scaling.yarn_log_multiplier"), 0);
  return {
    numHeads,
    numKvHeads: intOr(fields, key("attention.head_count_kv"), MAX_HEADS, numHeads),
    headDim,
    window: null,
    ropeTheta: positiveOr(fields, key("rope.freq_base"), 10_000),
    qkNorm: false,
    ropeDims: ropeDims === headDim ? undefined : ropeDims,
    yarn,
    ropeScaling: ggufRopeScaling(fields, key),
  };
}

function ggufVocabSize(checkpoint: Checkpoint, fields: Fields, key: string): number {
  if (fields.has(key)) return fields.int(key, { max: MAX_VOCAB });
  const rows = checkpoint.tensors.get("token_embd.weight")?.shape[0];
  if (rows !== undefined && rows <= MAX_VOCAB) return rows;
  throw new FormatError(
    `GGUF metadata: expected "token_embd.weight" with up to ${MAX_VOCAB} rows, got ${rows ?? "none"}`,
  );
}

/** The stretch of the rotation, but for factors on sizes and scores that some families have. */
export function ggufYarn(fields: Fields, key: (name: string) => string): YarnSpec | undefined {
  fields.only(key("rope.scaling.type"), ...GGUF_ROPE_KINDS);
  if (!fields.has(key("rope.scaling.type")) || fields.text(key("rope.scaling.type")) !== "yarn") return undefined;
  fields.only(key("rope.scaling.attn_factor"), 1);
  return {
    factor: fields.positive(key("rope.scaling.factor")),
    originalContext: fields.int(key("rope.scaling.original_context_length"), { max: MAX_CONTEXT }),
    betaFast: positiveOr(fields, key("rope.scaling.yarn_beta_fast"), 32),
    betaSlow: positiveOr(fields, key("rope.scaling.yarn_beta_slow"), 1),
    truncate: true,
  };
}

function hfFrame(checkpoint: Checkpoint, architecture: string): Frame {
  const fields = readFields(checkpoint.config, "config.json");
  fields.only("hidden_act", "silu");
  const hiddenSize = fields.int("hidden_size", { max: MAX_WIDTH });
  const vocabSize = fields.int("vocab_size", { max: MAX_VOCAB });
  return {
    isGguf: false,
    fields,
    key: (name) => name,
    numLayers: fields.int("num_hidden_layers", { max: MAX_LAYERS }),
    model: {
      architecture,
      name: fields.has("_name_or_path") ? fields.text("_name_or_path") : architecture,
      hiddenSize,
      vocabSize,
      contextLength: fields.int("max_position_embeddings", { max: MAX_CONTEXT }),
      normEps: fields.positive("rms_norm_eps"),
      tiedEmbeddings: flagOr(fields, "tie_word_embeddings", false),
      stopIds: fields.ids("eos_token_id", vocabSize),
    },
  };
}

function hfAttention({ fields, model }: Frame, { config }: Checkpoint): AttentionSpec {
  const numHeads = fields.int("num_attention_heads", { max: MAX_HEADS });
  const headDim = intOr(fields, "head_dim", MAX_HEAD_DIM, model.hiddenSize / numHeads);
  const { ropeTheta, yarn, ropeScaling, scaling } = hfRope(config, fields);
  const partial = fields.has("partial_rotary_factor") ? fields : scaling;
  const ropeDims = Math.trunc(headDim * positiveOr(partial, "partial_rotary_factor", 1));
  if (yarn) for (const key of ["mscale", "mscale_all_dim"]) scaling.only(key);
  return {
    numHeads,
    numKvHeads: intOr(fields, "num_key_value_heads", MAX_HEADS, numHeads),
    headDim,
    window: null,
    qkNorm: false,
    ropeDims: ropeDims === headDim ? undefined : ropeDims,
    ropeTheta,
    yarn,
    ropeScaling,
  };
}

/** The record that holds what a folder says of positions beside the other fields; empty when it has none. */
function ropeRecord(config: Readonly<Record<string, unknown>>, fields: Fields): Fields {
  const name = fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  return readFields(fields.has(name) ? record(config[name], name) : {}, `config.json, "${name}"`);
}

/**
 * Base and stretch of the rotation, beside the other fields or in the record that holds them, and that record, for the
 * factors on sizes and scores that some families have.
 */
export function hfRope(
  config: Readonly<Record<string, unknown>>,
  fields: Fields,
): {
  ropeTheta: number;
  yarn: YarnSpec | undefined;
  ropeScaling: RopeScaling | undefined;
  scaling: Fields;
} {
  const nested = ropeRecord(config, fields);
  const ropeTheta = nested.has("rope_theta") ? nested.positive("rope_theta") : positiveOr(fields, "rope_theta", 10_000);
  const kind = nested.has("rope_type") ? "rope_type" : "type";
  nested.only(kind, ...HF_ROPE_KINDS);
  if (!nested.has(kind) || nested.text(kind) !== "yarn") {
    const ropeScaling = nested.has(kind) ? hfRopeScaling(nested, nested.text(kind)) : undefined;
    return { ropeTheta, yarn: undefined, ropeScaling, scaling: nested };
  }
  nested.only("attention_factor");
  const yarn = {
    factor: nested.positive("factor"),
    originalContext: nested.int("original_max_position_embeddings", { max: MAX_CONTEXT }),
    betaFast: positiveOr(nested, "beta_fast", 32),
    betaSlow: positiveOr(nested, "beta_slow", 1),
    truncate: flagOr(nested, "truncate", true),
  };
  return { ropeTheta, yarn, ropeScaling: undefined, scaling: nested };
}

function record(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new FormatError(`config.json: expected "${name}" to be an object`);
}

/** The keys under which a family's `config.json` speaks of its experts. */
export interface HfMoeKeys {
  readonly numExperts: string;
  readonly innerSize: string;
}

/**
 * Softmax over all experts, experts at full width; `renormalize` where the container does not say. Groups of experts are
 * refused unless the family reads them.
 */
export function readMoe(common: Frame, keys: HfMoeKeys, renormalize: boolean, hasGroups = false): MoeSpec {
  const { isGguf, fields, key } = common;
  if (!hasGroups) for (const name of isGguf ? [key("expert_group_count")] : HF_GROUPS) fields.only(name, 0, 1);
  return isGguf ? ggufMoe(fields, key, renormalize) : hfMoe(fields, keys, renormalize);
}

const HF_GROUPS = ["n_group", "topk_group", "num_expert_groups", "num_limited_groups"];

function ggufMoe(fields: Fields, key: (name: string) => string, renormalize: boolean): MoeSpec {
  const numExperts = fields.int(key("expert_count"), { max: MAX_EXPERTS });
  const inner = key("expert_feed_forward_length");
  fields.only(key("expert_gating_func"), 1, 2, 3); // softmax over all, sigmoid, softmax over the chosen
  const isSigmoid = fields.has(key("expert_gating_func")) && fields.int(key("expert_gating_func"), { max: 3 }) === 2;
  return {
    kind: "moe",
    numExperts,
    topK: fields.int(key("expert_used_count"), { max: Math.min(MAX_TOP_K, numExperts) }),
    latentSize: null,
    innerSize: fields.int(fields.has(inner) ? inner : key("feed_forward_length"), { max: MAX_WIDTH }),
    renormalize: flagOr(fields, key("expert_weights_norm"), renormalize),
    routingScale: positiveOr(fields, key("expert_weights_scale"), 1),
    scoring: isSigmoid ? "sigmoid" : undefined,
  };
}

function hfMoe(fields: Fields, keys: HfMoeKeys, renormalize: boolean): MoeSpec {
  const numExperts = fields.int(keys.numExperts, { max: MAX_EXPERTS });
  return {
    kind: "moe",
    numExperts,
    topK: fields.int("num_experts_per_tok", { max: Math.min(MAX_TOP_K, numExperts) }),
    latentSize: null,
    innerSize: fields.int(keys.innerSize, { max: MAX_WIDTH }),
    renormalize: flagOr(fields, "norm_topk_prob", renormalize),
    routingScale: positiveOr(fields, "routed_scaling_factor", 1),
  };
}

/** The dense MLP of the layers without experts. */
export function readDense({ isGguf, fields, key }: Frame): DenseSpec {
  const innerSize = fields.int(isGguf ? key("feed_forward_length") : "intermediate_size", { max: MAX_WIDTH });
  return { kind: "dense", innerSize };
}

/** The model of `common` with a layer for each of its layers. */
export function withLayers(common: Frame, layerOf: (layer: number) => LayerSpec): ModelSpec {
  return { ...common.model, layers: Array.from({ length: common.numLayers }, (_, layer) => layerOf(layer)) };
}

/** An integer from `min` to `max`, or what stands for its absence; that must be an integer in bounds too. */
export function intOr(fields: Fields, key: string, max: number, otherwise: number, min = 1): number {
  if (fields.has(key)) return fields.int(key, { min, max });
  return Number.isInteger(otherwise) && otherwise >= min && otherwise <= max
    ? otherwise
    : fields.fail(key, `an integer from ${min} to ${max}`);
}

export function positiveOr(fields: Fields, key: string, otherwise: number): number {
  return fields.has(key) ? fields.positive(key) : otherwise;
}

export function flagOr(fields: Fields, key: string, otherwise: boolean): boolean {
  return fields.has(key) ? fields.bool(key) : otherwise;
}

/** @throws UnsupportedError naming what `family` lacks. */
export function refuse(family: string, what: string): never {
  throw new UnsupportedError(`${family}: ${what}`);
}
