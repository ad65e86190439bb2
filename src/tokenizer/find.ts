/** Where a model's tokenizer is, without reading `tokenizer.json`: that file alone can outweigh all headers. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { FileSet } from "../sources/byte-source.ts";
import { ggufVocabulary } from "./gguf-vocabulary.ts";

/** Beside the weights, or in the metadata of a GGUF file. */
export type TokenizerPlace = "tokenizer.json" | "GGUF metadata";

/**
 * What `loadTokenizer` would read, in the same order; `null` for a model that comes without any.
 * @throws FormatError, UnsupportedError for a vocabulary inside a GGUF file that Octavo cannot read, SourceError.
 */
export async function findTokenizer(
  files: FileSet,
  checkpoint: Checkpoint,
  signal?: AbortSignal,
): Promise<TokenizerPlace | null> {
  if (await files.open("tokenizer.json", signal)) return "tokenizer.json";
  if (checkpoint.container !== "gguf") return null;
  return ggufVocabulary(checkpoint.config) ? "GGUF metadata" : null;
}
