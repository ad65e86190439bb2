/** A checkpoint before it has bytes: its configuration and its tensors in the spelling of one container. */

import type { DType } from "../../src/formats/dtype.ts";
import { BLOCKS } from "../../src/formats/dtype.ts";
import type { JsonObject } from "../../src/formats/read-json.ts";
import type { GgufValue } from "../fixtures/make-gguf.ts";
import type { VirtualTensor } from "./tensor-bytes.ts";
import type { Vocabulary } from "./vocabulary.ts";

export type Container = "gguf" | "safetensors";

export interface Blueprint {
  /** Name of the model, and stem of its file. */
  readonly name: string;
  /** GGUF metadata without the vocabulary. */
  readonly metadata: Readonly<Record<string, GgufValue>>;
  /** `config.json`; absent where the model is made as GGUF only. */
  readonly config?: JsonObject;
  readonly tensors: readonly VirtualTensor[];
}

/** GGUF metadata of `vocabulary`. Text is split as Llama 3 splits it, which is nearest to o200k_base of what is common. */
export function vocabularyMetadata(vocabulary: Vocabulary): Record<string, GgufValue> {
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "llama-bpe",
    "tokenizer.ggml.tokens": vocabulary.tokens,
    "tokenizer.ggml.token_type": { type: "i32", value: vocabulary.types },
    "tokenizer.ggml.merges": vocabulary.merges,
    "tokenizer.ggml.bos_token_id": vocabulary.endOfText,
    "tokenizer.ggml.eos_token_id": vocabulary.endOfText,
    "tokenizer.ggml.add_bos_token": false,
  };
}

/** What a tensor is to the choice of its storage type. */
export type Role = "vector" | "router" | "embedding" | "expert" | "matrix";

/**
 * Storage type of a tensor in a file of `type`, mixed as real files are: vectors and routers F32, embeddings of files in
 * blocks Q8_0, MXFP4 for experts only (the rest Q8_0). Rows that are no whole blocks become Q8_0, or F16.
 */
export function storedType(type: DType, role: Role, rowLength: number): DType {
  if (role === "vector" || role === "router") return "F32";
  const inBlocks = BLOCKS[type].elements > 1;
  const wanted = inBlocks && (role === "embedding" || (type === "MXFP4" && role !== "expert")) ? "Q8_0" : type;
  if (rowLength % BLOCKS[wanted].elements === 0) return wanted;
  return rowLength % BLOCKS.Q8_0.elements === 0 ? "Q8_0" : "F16";
}
