/**
 * Nemotron-H: every layer is one block behind one norm, be it attention without positions, a dense MLP, experts, or a
 * Mamba-2 layer. MLPs and experts have no gate and square what is positive; experts may work in a latent space, chosen by
 * sigmoid scores and a bias that only choosing sees, beside a shared expert at full width. Octavo does not compute Mamba-2: a
 * layer of that kind is left out where its output projection is all zeros, which loading checks, and refused otherwise.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_EXPERTS, MAX_HEADS, MAX_LAYERS, MAX_WIDTH } from "./bounds.ts";
import { type Common, intOr, readCommon, readMoe } from "./common.ts";
import type { ModelDescription, ModelFamily, SkippedLayer, TensorNames } from "./family.ts";
import { readFields } from "./fields.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import { perLayer, respelled } from "./per-layer.ts";
import type { AttentionSpec, LayerSpec, MoeSpec } from "./spec.ts";

export const nemotronH: ModelFamily = {
  architecture: "nemotron_h",
  hfArchitectures: ["NemotronHForCausalLM"],
  describe: (checkpoint) => describe(checkpoint, "nemotron_h"),
};

export const nemotronHMoe: ModelFamily = {
  architecture: "nemotron_h_moe",
  hfArchitectures: [],
  describe: (checkpoint) => describe(checkpoint, "nemotron_h_moe"),
};

/** What a layer is. */
type Layer =
  | { readonly kind: "attention"; readonly attention: AttentionSpec }
  | { readonly kind: "dense"; readonly innerSize: number }
  | { readonly kind: "moe" }
  | { readonly kind: "mamba" };

const GGUF_NAMES = ggufTensorNames({ mlpNorm: "attn_norm.weight" });
const HF_NAMES = inBackbone(
  hfTensorNames(
    {
      attnNorm: "norm.weight",
      mlpNorm: "norm.weight",
      q: "mixer.q_proj.weight",
      k: "mixer.k_proj.weight",
      v: "mixer.v_proj.weight",
      o: "mixer.o_proj.weight",
      up: "mixer.up_proj.weight",
      down: "mixer.down_proj.weight",
      router: "mixer.gate.weight",
      selectionBias: "mixer.gate.e_score_correction_bias",
      latentDown: "mixer.fc1_latent_proj.weight",
      latentUp: "mixer.fc2_latent_proj.weight",
      sharedUp: "mixer.shared_experts.up_proj.weight",
      sharedDown: "mixer.shared_experts.down_proj.weight",
    },
    { folder: "mixer.experts" },
  ),
);

function describe(checkpoint: Checkpoint, architecture: string): ModelDescription {
  const isGguf = checkpoint.container === "gguf";
  const { common, layers } = isGguf ? readGguf(checkpoint, architecture) : readHf(checkpoint);
  const moe = layers.some(({ kind }) => kind === "moe") ? moeSpec(common) : null;
  const spec = { ...common.model, layers: layers.map((layer) => layerSpec(layer, moe)) };
  return { spec, names: namesOf(isGguf, layers, spec.tiedEmbeddings) };
}

function layerSpec(layer: Layer, moe: MoeSpec | null): LayerSpec {
  switch (layer.kind) {
    case "attention":
      return { attention: layer.attention, mlp: null, outputNorms: false };
    case "dense":
      return { attention: null, mlp: { ...layer, activation: "relu2" }, outputNorms: false };
    case "moe":
      return { attention: null, mlp: moe, outputNorms: false };
    case "mamba":
      return { attention: null, mlp: null, outputNorms: false };
  }
}

interface Read {
  readonly common: Common;
  readonly layers: readonly Layer[];
}

/** Lists in the metadata tell the layers apart: an MLP has a width, attention has key-value heads, Mamba-2 has neither. */
function readGguf(checkpoint: Checkpoint, architecture: string): Read {
  const fields = readFields(checkpoint.config, "GGUF metadata");
  const key = (name: string) => `${architecture}.${name}`;
  const numBlocks = fields.int(key("block_count"), { max: MAX_LAYERS });
  const list = (name: string, max: number) => perLayer(checkpoint, fields, key(name), numBlocks, max);
  const [heads, kvHeads] = [list("attention.head_count", MAX_HEADS), list("attention.head_count_kv", MAX_HEADS)];
  const widths = list("feed_forward_length", MAX_WIDTH);
  const hasExperts = intOr(fields, key("expert_count"), MAX_EXPERTS, 0, 0) > 0;
  /** The configuration as if all layers had this many heads. */
  const withHeads = (numHeads: number, numKvHeads: number): Common => {
    const values = { [key("attention.head_count")]: numHeads, [key("attention.head_count_kv")]: numKvHeads };
    return readCommon(respelled(checkpoint, values), architecture);
  };
  const scaleKey = key("attention.scale");
  const scale = fields.has(scaleKey) ? fields.positive(scaleKey) : undefined;
  const layerOf = (layer: number): Layer => {
    const [innerSize = 0, numKvHeads = 0] = [widths[layer], kvHeads[layer]];
    if (innerSize > 0) return hasExperts ? { kind: "moe" } : { kind: "dense", innerSize };
    if (numKvHeads === 0) return { kind: "mamba" };
    const { attention } = withHeads(heads[layer] ?? 0, numKvHeads);
    return { kind: "attention", attention: { ...attention, ropeTheta: null, scale } };
  };
  const first = kvHeads.findIndex((count, layer) => count > 0 && widths[layer] === 0);
  const common = withHeads(heads[first] ?? 1, kvHeads[first] ?? 1);
  return { common, layers: Array.from({ length: common.numLayers }, (_, layer) => layerOf(layer)) };
}

function readHf(checkpoint: Checkpoint): Read {
  const { config } = checkpoint;
  const kinds = layerKinds(checkpoint);
  const spelled = respelled(checkpoint, {
    num_hidden_layers: kinds.length,
    rms_norm_eps: config.layer_norm_epsilon ?? config.norm_eps,
    head_dim: config.head_dim ?? config.attention_head_dim,
  });
  const common = readCommon(spelled, nemotronH.architecture);
  const { fields } = common;
  for (const key of ["attention_bias", "mlp_bias", "use_bias"]) fields.only(key, false);
  fields.only("mlp_hidden_act", "relu2");
  fields.only("sliding_window"); // no value of it is supported
  const attention = { ...common.attention, ropeTheta: null };
  const layers = kinds.map((kind): Layer => {
    if (kind === "attention") return { kind, attention };
    return kind === "dense" ? { kind, innerSize: fields.int("intermediate_size", { max: MAX_WIDTH }) } : { kind };
  });
  return { common, layers };
}

/** Kinds of layers as `layers_block_type` spells them, and the letters of `hybrid_override_pattern`. */
const KINDS: Readonly<Record<string, Layer["kind"]>> = {
  attention: "attention",
  full_attention: "attention",
  "*": "attention",
  mlp: "dense",
  "-": "dense",
  moe: "moe",
  E: "moe",
  mamba: "mamba",
  linear_attention: "mamba",
  M: "mamba",
};

function layerKinds({ config }: Checkpoint): Layer["kind"][] {
  const fields = readFields(config, "config.json");
  const key = fields.has("layers_block_type") ? "layers_block_type" : "hybrid_override_pattern";
  const value = key === "layers_block_type" ? config[key] : [...fields.text(key)];
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  const kinds = items.map((item) => (typeof item === "string" && Object.hasOwn(KINDS, item) ? KINDS[item] : undefined));
  const known = kinds.filter((kind) => kind !== undefined);
  if (known.length > 0 && known.length === kinds.length && kinds.length <= MAX_LAYERS) return known;
  return fields.fail(key, `1 to ${MAX_LAYERS} layers, each attention, mlp, moe or mamba`);
}

function moeSpec(common: Common): MoeSpec {
  const { isGguf, fields, key } = common;
  if (isGguf) fields.only(key("expert_gating_func"), 2); // sigmoid
  const moe = readMoe(common, { numExperts: "n_routed_experts", innerSize: "moe_intermediate_size" }, !isGguf);
  const size = (gguf: string, hf: string): number => {
    const name = isGguf ? key(gguf) : hf;
    return fields.has(name) ? fields.int(name, { min: 0, max: MAX_WIDTH }) : 0;
  };
  const latentSize = size("moe_latent_size", "moe_latent_size");
  const shared = size("expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size");
  return {
    ...moe,
    latentSize: latentSize > 0 ? latentSize : null,
    scoring: "sigmoid",
    selectionBias: true,
    activation: "relu2",
    shared: shared > 0 ? { innerSize: shared, gated: false, activation: "relu2" } : undefined,
  };
}

function namesOf(isGguf: boolean, layers: readonly Layer[], tiedEmbeddings: boolean): TensorNames {
  const names = strict(isGguf ? GGUF_NAMES : HF_NAMES, layers.length, tiedEmbeddings);
  const numbers = layers.flatMap(({ kind }, layer) => (kind === "mamba" ? [layer] : []));
  const skipped = numbers.map((layer): SkippedLayer => {
    const output = isGguf ? `blk.${layer}.ssm_out.weight` : `backbone.layers.${layer}.mixer.out_proj.weight`;
    return { layer, kind: "Mamba-2", output };
  });
  return {
    ...names,
    skipped,
    ignores: (name) => {
      if (!isGguf && name.startsWith("mtp.")) return true; // layers that draft further tokens
      const layer = MAMBA_TENSOR.exec(name)?.[1];
      return (layer !== undefined && numbers.includes(Number(layer))) || (names.ignores?.(name) ?? false);
    },
  };
}

/** A tensor of a Mamba-2 layer, in either container, and the layer's number. */
const MAMBA_TENSOR =
  /^(?:blk|backbone\.layers)\.(\d+)\.(?:attn_norm|ssm_|norm\.|mixer\.(?:in_proj|out_proj|conv1d|A_log|D|dt_bias|norm)\b)/;

/** Published folders keep everything but the head under `backbone`. */
function inBackbone(names: TensorNames): TensorNames {
  const moved = (name: string): string => name.replace(/^model\./, "backbone.");
  return {
    model: (name) => {
      if (name === "embed") return "backbone.embeddings.weight";
      return name === "outputNorm" ? "backbone.norm_f.weight" : names.model(name);
    },
    layer: (layer, name) => moved(names.layer(layer, name)),
    experts: (layer, matrix) => {
      const places = names.experts(layer, matrix);
      if (places.kind === "stacked") return { ...places, name: moved(places.name) };
      return { kind: "separate", nameOf: (expert) => moved(places.nameOf(expert)) };
    },
  };
}
