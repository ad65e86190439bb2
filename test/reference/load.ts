/**
 * Test checkpoints for the reference: safetensors and GGUF bytes to plain numbers, and the MAI conventions to a
 * ModelSpec and named tensors. Written apart from `src/formats`, `src/models` and `src/weights` on purpose, so that the
 * two check each other. Trusts its files; runs in Node and in a browser. Float32 holds every stored value exactly (a
 * Q8_0 element is the product of an 11-bit and an 8-bit integer and a power of two), but where a type subtracts a minimum:
 * there the float32 is what the type's definition says. Types in blocks but Q8_0 come from the fixtures' own library.
 */
import type { LayerSpec, LayerTensor, ModelSpec } from "../../src/models/spec.ts";
import { dequantize, TYPES } from "../fixtures/gguf/lib/ggml-quants.mjs";
import type { TensorProvider } from "./forward.ts";

export interface DenseTensor {
  /** Slowest dimension first. */
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Checkpoint {
  readonly format: "safetensors" | "gguf";
  /** `config.json`, or the GGUF metadata. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, DenseTensor>;
}

export interface ReferenceModel {
  readonly spec: ModelSpec;
  readonly tensor: TensorProvider;
}

// --- Stored numbers ---

/** IEEE half precision: 1 sign, 5 exponent, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The upper half of a float32. */
function bfloatToNumber(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, bits);
  return view.getFloat32(0);
}

/** `count` elements from `offset` on; little-endian. */
function readElements(view: DataView, offset: number, dtype: string, count: number): Float32Array {
  const out = new Float32Array(count);
  switch (dtype) {
    case "F32":
      return out.map((_, i) => view.getFloat32(offset + 4 * i, true));
    case "F16":
      return out.map((_, i) => halfToNumber(view.getUint16(offset + 2 * i, true)));
    case "BF16":
      return out.map((_, i) => bfloatToNumber(view.getUint16(offset + 2 * i, true)));
    case "Q8_0": // blocks of 34 bytes: half-precision scale, 32 signed bytes
      for (let i = 0; i < count; i += 32) {
        const block = offset + (i / 32) * 34;
        const scale = halfToNumber(view.getUint16(block, true));
        for (let j = 0; j < 32; j++) out[i + j] = scale * view.getInt8(block + 2 + j);
      }
      return out;
    default: {
      const type = TYPES[dtype];
      if (!type) throw new Error(`reference reads no ${dtype}`);
      const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, (count / type.block) * type.bytes);
      return dequantize(dtype, bytes, count);
    }
  }
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// --- Safetensors: u64 header length, JSON header, data ---

interface SafetensorsEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** A folder's `config.json` and `model.safetensors`. */
export function loadSafetensors(config: Uint8Array, weights: Uint8Array): Checkpoint {
  const view = viewOf(weights);
  const dataStart = 8 + Number(view.getBigUint64(0, true));
  const header = parseJson(weights.subarray(8, dataStart)) as Record<string, SafetensorsEntry>;
  const tensors = new Map<string, DenseTensor>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    tensors.set(name, { shape, data: readElements(view, dataStart + data_offsets[0], dtype, product(shape)) });
  }
  return { format: "safetensors", config: parseJson(config) as Record<string, unknown>, tensors };
}

function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes));
}

// --- GGUF version 3: magic, version, counts, metadata, tensor directory, aligned data ---

const GGUF_DTYPES: ReadonlyMap<number, string> = new Map(Object.values(TYPES).map(({ id, name }) => [id, name]));

/** A whole GGUF file. */
export function loadGguf(bytes: Uint8Array): Checkpoint {
  const view = viewOf(bytes);
  let at = 4;
  /** Where the next `size` bytes begin; they are taken. */
  const take = (size: number): number => {
    at += size;
    return at - size;
  };
  const u32 = (): number => view.getUint32(take(4), true);
  const u64 = (): number => Number(view.getBigUint64(take(8), true));
  const string = (): string => {
    const length = u64();
    const start = take(length);
    return new TextDecoder().decode(bytes.subarray(start, start + length));
  };
  const value = (type: number): unknown => {
    switch (type) {
      case 0:
        return view.getUint8(take(1));
      case 1:
        return view.getInt8(take(1));
      case 2:
        return view.getUint16(take(2), true);
      case 3:
        return view.getInt16(take(2), true);
      case 4:
        return u32();
      case 5:
        return view.getInt32(take(4), true);
      case 6:
        return view.getFloat32(take(4), true);
      case 7:
        return view.getUint8(take(1)) !== 0;
      case 8:
        return string();
      case 9: {
        const elementType = u32();
        return Array.from({ length: u64() }, () => value(elementType));
      }
      case 10:
        return u64();
      case 11:
        return Number(view.getBigInt64(take(8), true));
      case 12:
        return view.getFloat64(take(8), true);
      default:
        throw new Error(`GGUF value type ${type} at byte ${at}`);
    }
  };

  const version = u32();
  if (new TextDecoder().decode(bytes.subarray(0, 4)) !== "GGUF" || version !== 3) throw new Error("not a GGUF 3 file");
  const numTensors = u64();
  const numEntries = u64();
  const config: Record<string, unknown> = {};
  for (let i = 0; i < numEntries; i++) {
    const key = string();
    config[key] = value(u32());
  }
  const directory = Array.from({ length: numTensors }, () => ({
    name: string(),
    shape: Array.from({ length: u32() }, u64).reverse(), // stored fastest dimension first
    dtype: u32(),
    offset: u64(),
  }));
  const alignment = config["general.alignment"] === undefined ? 32 : Number(config["general.alignment"]);
  const dataStart = Math.ceil(at / alignment) * alignment;
  const tensors = new Map<string, DenseTensor>();
  for (const { name, shape, dtype, offset } of directory) {
    const data = readElements(view, dataStart + offset, GGUF_DTYPES.get(dtype) ?? `GGUF type ${dtype}`, product(shape));
    tensors.set(name, { shape, data });
  }
  return { format: "gguf", config, tensors };
}

// --- MAI: configuration to spec, our names to the file's ---

/** Spec and tensors of a checkpoint that follows the MAI conventions. */
export function maiModel(checkpoint: Checkpoint): ReferenceModel {
  const config = checkpoint.format === "gguf" ? configOfGguf(checkpoint.config) : checkpoint.config;
  return { spec: maiSpec(config), tensor: maiTensors(checkpoint) };
}

/** GGUF metadata under the key names of `config.json`. */
function configOfGguf(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const mai = (key: string): unknown => metadata[`mai.${key}`];
  const layerTypes = (key: string, yes: string, no: string) => (mai(key) as boolean[]).map((flag) => (flag ? yes : no));
  return {
    name: metadata["general.name"],
    num_hidden_layers: mai("block_count"),
    hidden_size: mai("embedding_length"),
    vocab_size: mai("vocab_size") ?? (metadata["tokenizer.ggml.tokens"] as unknown[]).length,
    num_attention_heads: mai("attention.head_count"),
    num_key_value_heads: mai("attention.head_count_kv"),
    head_dim: mai("attention.key_length"),
    intermediate_size: mai("feed_forward_length"),
    moe_latent_size: mai("moe_latent_size"),
    moe_intermediate_size: mai("expert_feed_forward_length"),
    num_experts: mai("expert_count"),
    num_experts_per_tok: mai("expert_used_count"),
    norm_topk_prob: mai("expert_weights_norm"),
    routed_scaling_factor: mai("expert_weights_scale"),
    sliding_window: mai("attention.sliding_window"),
    layer_types: layerTypes("attention.sliding_window_pattern", "sliding_attention", "full_attention"),
    mlp_layer_types: layerTypes("moe_layer_pattern", "sparse", "dense"),
    rope_theta: mai("rope.freq_base"),
    rms_norm_eps: mai("attention.layer_norm_rms_epsilon"),
    tie_word_embeddings: true,
    max_position_embeddings: mai("context_length"),
    eos_token_id: metadata["tokenizer.ggml.eos_token_id"],
  };
}

function maiSpec(config: Readonly<Record<string, unknown>>): ModelSpec {
  const number = (key: string, fallback?: number): number => {
    const value = config[key] ?? fallback;
    if (typeof value !== "number") throw new Error(`configuration: ${key} is ${String(value)}, expected a number`);
    return value;
  };
  const layerTypes = config.layer_types as readonly string[];
  const mlpTypes = config.mlp_layer_types as readonly string[];
  const layer = (i: number): LayerSpec => {
    const isLocal = layerTypes[i] === "sliding_attention";
    return {
      attention: {
        numHeads: number("num_attention_heads"),
        numKvHeads: number("num_key_value_heads"),
        headDim: number("head_dim"),
        window: isLocal ? number("sliding_window") : null,
        ropeTheta: isLocal ? number("rope_theta") : null,
        qkNorm: true,
      },
      mlp:
        mlpTypes[i] === "dense"
          ? { kind: "dense", innerSize: number("intermediate_size") }
          : {
              kind: "moe",
              numExperts: number("num_experts"),
              topK: number("num_experts_per_tok"),
              latentSize: number("moe_latent_size"),
              innerSize: number("moe_intermediate_size"),
              renormalize: config.norm_topk_prob === true,
              routingScale: number("routed_scaling_factor", 1),
            },
      outputNorms: true,
    };
  };
  return {
    architecture: "mai",
    name: typeof config.name === "string" ? config.name : "",
    hiddenSize: number("hidden_size"),
    vocabSize: number("vocab_size"),
    contextLength: number("max_position_embeddings"),
    normEps: number("rms_norm_eps"),
    tiedEmbeddings: config.tie_word_embeddings === true,
    stopIds: [config.eos_token_id ?? []].flat() as number[],
    layers: Array.from({ length: number("num_hidden_layers") }, (_, i) => layer(i)),
  };
}

const MODEL_NAMES: Readonly<Record<string, readonly [safetensors: string, gguf: string]>> = {
  embed: ["model.embed_tokens", "token_embd"],
  outputNorm: ["model.norm", "output_norm"],
  head: ["lm_head", "output"],
};

const LAYER_NAMES: Readonly<Partial<Record<LayerTensor, readonly [safetensors: string, gguf: string]>>> = {
  attnNorm: ["input_layernorm", "attn_norm"],
  attnOutputNorm: ["post_attention_layernorm", "post_attention_norm"],
  mlpNorm: ["pre_feedforward_layernorm", "ffn_norm"],
  mlpOutputNorm: ["post_feedforward_layernorm", "post_ffw_norm"],
  q: ["self_attn.q_proj", "attn_q"],
  k: ["self_attn.k_proj", "attn_k"],
  v: ["self_attn.v_proj", "attn_v"],
  o: ["self_attn.o_proj", "attn_output"],
  qNorm: ["self_attn.q_norm", "attn_q_norm"],
  kNorm: ["self_attn.k_norm", "attn_k_norm"],
  gate: ["mlp.gate_proj", "ffn_gate"],
  up: ["mlp.up_proj", "ffn_up"],
  down: ["mlp.down_proj", "ffn_down"],
  router: ["mlp.gate", "ffn_gate_inp"],
  latentDown: ["mlp.fc1_latent_proj", "ffn_latent_down"],
  latentUp: ["mlp.fc2_latent_proj", "ffn_latent_up"],
};

/** Tensors by the names of `TensorProvider`. GGUF stacks a layer's experts, [E, out, in]; a folder keeps them apart. */
function maiTensors({ format, tensors }: Checkpoint): TensorProvider {
  const isGguf = format === "gguf";
  const stored = (name: string): DenseTensor => {
    const tensor = tensors.get(`${name}.weight`);
    if (!tensor) throw new Error(`the checkpoint has no ${name}.weight`);
    return tensor;
  };
  const prefix = isGguf ? "blk" : "model.layers";
  return (name) => {
    const [, layer, rest, expert, part] = /^layers\.(\d+)\.(experts\.(\d+)\.(\w+)|\w+)$/.exec(name) ?? [];
    if (rest === undefined) return stored(MODEL_NAMES[name]![isGguf ? 1 : 0]).data;
    if (expert === undefined) {
      return stored(`${prefix}.${layer}.${LAYER_NAMES[rest as LayerTensor]![isGguf ? 1 : 0]}`).data;
    }
    if (!isGguf) return stored(`${prefix}.${layer}.mlp.experts.${expert}.${part}_proj`).data;
    const { shape, data } = stored(`${prefix}.${layer}.ffn_${part}_exps`);
    const size = shape[1]! * shape[2]!;
    return data.subarray(Number(expert) * size, (Number(expert) + 1) * size);
  };
}
