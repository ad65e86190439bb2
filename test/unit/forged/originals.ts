/** Sound models of every container, small enough to be forged thousands of times a second. */
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { memoryFileSet, openGgufBytes, openMai, readRepositoryFile } from "../../fixtures/files.ts";
import { maiGgufParts } from "../../fixtures/mai-twin.ts";
import { type FixtureTensor, type GgufValue, makeGguf } from "../../fixtures/make-gguf.ts";
import { joinSafetensors } from "../../fixtures/make-safetensors.ts";
import type { Files } from "./outcome.ts";

export interface Original {
  readonly files: Files;
  readonly entry: string | undefined;
  /** The file to forge, and how many of its bytes are header. */
  readonly target: string;
  readonly headerBytes: number;
}

const FOLDER = "test/fixtures/mai/one-token-f32";
const mai = await openMai("one-token-f32");
const config = readRepositoryFile(`${FOLDER}/config.json`);
const weights = readRepositoryFile(`${FOLDER}/model.safetensors`);
const safetensorsHeaderBytes = 8 + Number(new DataView(weights.buffer).getBigUint64(0, true));
const tokenizer = new TextEncoder().encode(JSON.stringify(smallTokenizer()));
const parts = await maiGgufParts(mai, "F32");

function smallTokenizer(): object {
  const tokens = [...new Set("It was adrkndsomyigh.,Ġ<>|")];
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    added_tokens: [{ id: tokens.length, content: "<s>", special: true, normalized: false }],
    normalizer: { type: "NFC" },
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [["i", "t"]] },
  };
}

function whole(files: Files, target: string, entry?: string): Original {
  return { files, entry, target, headerBytes: files[target]?.length ?? 0 };
}

async function gguf(metadata: Record<string, GgufValue>, tensors: readonly FixtureTensor[]): Promise<Original> {
  const bytes = makeGguf({ metadata, tensors });
  return {
    files: { "m.gguf": bytes },
    entry: "m.gguf",
    target: "m.gguf",
    headerBytes: headerOf(await openGgufBytes(bytes), 0),
  };
}

/** Where the data of shard number `shard` begins. */
function headerOf({ tensors }: Checkpoint, shard: number): number {
  return Math.min(...[...tensors.values()].filter((tensor) => tensor.shard === shard).map(({ offset }) => offset));
}

const vocabulary: Record<string, GgufValue> = {
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "llama-bpe",
  "tokenizer.ggml.tokens": ["I", "t", "a", "n", "i", "g", "h", "it", "Ġ", "<s>"],
  "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 1, 1, 1, 1, 3],
  "tokenizer.ggml.merges": ["i t"],
  "tokenizer.ggml.bos_token_id": 9,
  "tokenizer.ggml.add_bos_token": true,
};

function splitGguf(): Files {
  const half = Math.ceil(parts.tensors.length / 2);
  const shard = (no: number, tensors: readonly FixtureTensor[], metadata: Record<string, GgufValue>) =>
    makeGguf({ metadata: { ...metadata, "split.no": no, "split.count": 2 }, tensors });
  return {
    "m-00001-of-00002.gguf": shard(0, parts.tensors.slice(0, half), parts.metadata),
    "m-00002-of-00002.gguf": shard(1, parts.tensors.slice(half), {}),
  };
}

/** The folder's tensors in two shards, and the index that says which is where. */
async function splitSafetensors(checkpoint: Checkpoint): Promise<Files> {
  const tensors = [...checkpoint.tensors.values()].sort((a, b) => a.offset - b.offset);
  const half = Math.ceil(tensors.length / 2);
  const weight_map: Record<string, string> = {};
  const shard = (name: string, own: typeof tensors): Uint8Array<ArrayBuffer> => {
    let end = 0;
    const header: Record<string, unknown> = {};
    for (const { name: tensor, dtype, shape, byteLength } of own) {
      weight_map[tensor] = name;
      header[tensor] = { dtype, shape, data_offsets: [end, end + byteLength] };
      end += byteLength;
    }
    const bytes = own.map(({ offset, byteLength }) => weights.subarray(offset, offset + byteLength));
    return joinSafetensors(JSON.stringify(header), bytes);
  };
  return {
    "config.json": config,
    "a.safetensors": shard("a.safetensors", tensors.slice(0, half)),
    "b.safetensors": shard("b.safetensors", tensors.slice(half)),
    "model.safetensors.index.json": new TextEncoder().encode(JSON.stringify({ metadata: {}, weight_map })),
  };
}

const split = splitGguf();
const folder: Files = { "config.json": config, "model.safetensors": weights, "tokenizer.json": tokenizer };
const indexed = await splitSafetensors(mai);
const secondShard = "m-00002-of-00002.gguf";

export const ORIGINALS: Readonly<Record<string, Original>> = {
  "GGUF header": await gguf(parts.metadata, parts.tensors),
  "GGUF vocabulary": await gguf({ ...vocabulary, ...parts.metadata }, parts.tensors),
  "split GGUF": {
    ...whole(split, secondShard, "m-00001-of-00002.gguf"),
    headerBytes: headerOf(await openCheckpoint(memoryFileSet(split)), 1),
  },
  "safetensors header": { ...whole(folder, "model.safetensors"), headerBytes: safetensorsHeaderBytes },
  "config.json": whole(folder, "config.json"),
  "index.json": whole(indexed, "model.safetensors.index.json"),
  "tokenizer.json": whole(folder, "tokenizer.json"),
};
