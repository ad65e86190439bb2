/** Files of 5 TB: every offset is a plain number, in both containers, stacked and apart, in one file and in several. */
import { expect, test } from "vitest";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { ByteSource, FileSet } from "../../../src/sources/byte-source.ts";
import { expectedDense, expertShape } from "../../../src/weights/expected.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { type GgufValue, makeGgufHeader } from "../../fixtures/make-gguf.ts";

/** Of a GGUF file; a safetensors file ends with its last tensor. */
const FILE_BYTES = 5e12;
/** No divisor of 2^32, so that an offset cut to 32 bits, or to 31, gives another byte. */
const PERIOD = 251;
const byteAt = (offset: number): number => offset % PERIOD;

/** The beginning of a file, and the length of all of it. */
interface Headed {
  readonly header: Uint8Array;
  readonly size: number;
}

/** `header`, then bytes that follow from their offset. */
function hugeSource(label: string, { header, size }: Headed): ByteSource {
  return {
    label,
    size: async () => size,
    read: async (offset, length) =>
      Uint8Array.from({ length }, (_, i) => (offset + i < header.length ? header[offset + i]! : byteAt(offset + i))),
  };
}

function fileSet(entry: string | undefined, headers: Record<string, Headed>, small: Record<string, unknown>): FileSet {
  return {
    label: "huge",
    entry,
    open: async (name) => {
      const text = Object.hasOwn(small, name) ? new TextEncoder().encode(JSON.stringify(small[name])) : undefined;
      if (text) return { label: name, size: async () => text.length, read: async (at, n) => text.slice(at, at + n) };
      return headers[name] && hugeSource(name, headers[name]);
    },
  };
}

const [VOCAB, WIDTH, EXPERTS, INNER] = [2 ** 24, 65_536, 4096, 4];
const SIZES = {
  hidden_size: WIDTH,
  vocab_size: VOCAB,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  head_dim: 4,
  num_experts_per_tok: 2,
  tie_word_embeddings: true,
};
const METADATA: Record<string, GgufValue> = {
  "general.architecture": "qwen3moe",
  "qwen3moe.block_count": 1,
  "qwen3moe.context_length": 64,
  "qwen3moe.embedding_length": WIDTH,
  "qwen3moe.vocab_size": VOCAB,
  "qwen3moe.attention.head_count": 1,
  "qwen3moe.attention.key_length": 4,
  "qwen3moe.attention.value_length": 4,
  "qwen3moe.attention.layer_norm_rms_epsilon": 1e-6,
  "qwen3moe.expert_count": EXPERTS,
  "qwen3moe.expert_used_count": 2,
  "qwen3moe.expert_feed_forward_length": INNER,
};

interface Sized {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Every tensor of the model that `header` describes, F32: the 4.4 TB of the embedding, then the others. */
function tensorsOf(header: Omit<Checkpoint, "tensors" | "shards">): Sized[] {
  const { spec, names } = describeModel({ ...header, tensors: new Map<string, TensorInfo>(), shards: [] });
  const sized = (name: string, shape: readonly number[]): Sized => {
    return { name, shape, bytes: 4 * shape.reduce((a, b) => a * b, 1) };
  };
  const dense = expectedDense(spec).map(({ ref, shape }) =>
    sized(typeof ref === "string" ? names.model(ref) : names.layer(ref.layer, ref.name), shape),
  );
  const experts = (["gate", "up", "down"] as const).flatMap((matrix): Sized[] => {
    const mlp = spec.layers[0]!.mlp;
    if (mlp?.kind !== "moe") throw new Error("no experts");
    const [rows, cols] = expertShape(mlp, matrix, spec.hiddenSize);
    const places = names.experts(0, matrix);
    if (places.kind === "separate") {
      return Array.from({ length: EXPERTS }, (_, expert) => sized(places.nameOf(expert), [rows, cols]));
    }
    if (places.half === "second") return []; // the first has them
    return [sized(places.name, [EXPERTS, places.half ? 2 * rows : rows, cols])];
  });
  // GGUF files tell by its presence whether there is a head of its own.
  return [...dense, ...experts].filter(({ name }) => name !== names.model("head"));
}

function safetensorsHeader(tensors: readonly Sized[]): Headed {
  let end = 0;
  const entries = tensors.map(({ name, shape, bytes }) => {
    end += bytes;
    return [name, { dtype: "F32", shape, data_offsets: [end - bytes, end] }];
  });
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const file = new Uint8Array(8 + text.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return { header: file, size: file.length + end };
}

const gguf = (tensors: readonly Sized[], metadata = METADATA): Headed => {
  const sized = tensors.map(({ name, shape, bytes }) => ({ name, shape, dtype: "F32" as const, byteLength: bytes }));
  return { header: makeGgufHeader({ metadata, tensors: sized }).bytes, size: FILE_BYTES };
};

function folder(config: Record<string, unknown>, shards: 1 | 2): FileSet {
  const tensors = tensorsOf({ container: "safetensors", config });
  if (shards === 1) {
    return fileSet(undefined, { "model.safetensors": safetensorsHeader(tensors) }, { "config.json": config });
  }
  const [embed, ...rest] = tensors;
  const headers = { "a.safetensors": safetensorsHeader(rest), "b.safetensors": safetensorsHeader([embed!]) };
  const weight_map = Object.fromEntries(
    tensors.map((one) => [one.name, one === embed ? "b.safetensors" : "a.safetensors"]),
  );
  return fileSet(undefined, headers, { "config.json": config, "model.safetensors.index.json": { weight_map } });
}

function file(shards: 1 | 2): FileSet {
  const tensors = tensorsOf({ container: "gguf", config: METADATA });
  if (shards === 1) return fileSet("m.gguf", { "m.gguf": gguf(tensors) }, {});
  const [embed, ...rest] = tensors;
  const [first, second] = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
  const metadata = { ...METADATA, "split.count": 2 };
  return fileSet(first, { [first]: gguf(rest, metadata), [second]: gguf([embed!], metadata) }, {});
}

const QWEN = { ...SIZES, architectures: ["Qwen3MoeForCausalLM"], num_experts: EXPERTS, moe_intermediate_size: INNER };
const GRANITE = {
  ...SIZES,
  architectures: ["GraniteMoeForCausalLM"],
  num_local_experts: EXPERTS,
  intermediate_size: INNER,
};

test.each([
  ["a folder, experts apart", () => folder(QWEN, 1), true],
  ["a folder in two shards", () => folder(QWEN, 2), false],
  ["a folder, experts stacked", () => folder(GRANITE, 1), true],
  ["a GGUF file", () => file(1), true],
  ["a GGUF file in two shards", () => file(2), false],
])("%s", async (_, files, isOne) => {
  const checkpoint = await openCheckpoint(files());
  const { spec, names } = describeModel(checkpoint);
  const weights = createWeightMap(checkpoint, spec, names);
  const row = await weights.readMatrixRows("embed", VOCAB - 1, 1);
  const { offset: embedAt } = checkpoint.tensors.get(names.model("embed"))!;
  const rowAt = embedAt + (VOCAB - 1) * WIDTH * 4;
  expect(rowAt).toBeGreaterThan(4e12);
  expect(row.findIndex((byte, i) => byte !== byteAt(rowAt + i))).toBe(-1);

  const expert = await weights.readExpert(0, EXPERTS - 1);
  const layout = weights.expertLayout(0);
  for (const [matrix, word] of [
    ["gate", layout.gateWord],
    ["up", layout.upWord],
    ["down", layout.downWord],
  ] as const) {
    const places = names.experts(0, matrix);
    const name = places.kind === "separate" ? places.nameOf(EXPERTS - 1) : places.name;
    const half = places.kind === "stacked" ? places.half : undefined;
    const { offset } = checkpoint.tensors.get(name)!;
    const bytes = INNER * WIDTH * 4;
    const index = places.kind === "separate" ? 0 : (half ? 2 : 1) * (EXPERTS - 1) + (half === "second" ? 1 : 0);
    const at = offset + index * bytes;
    expect(at).toBeGreaterThan(isOne ? 4e12 : 2 ** 32);
    const packed = expert.subarray(word * 4, word * 4 + bytes);
    expect(packed.findIndex((byte, i) => byte !== byteAt(at + i))).toBe(-1);
  }
});
