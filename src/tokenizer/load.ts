/** Finds a model's tokenizer: `tokenizer.json` beside the weights, else the vocabulary inside a GGUF file. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { type JsonObject, readJson } from "../formats/read-json.ts";
import type { FileSet } from "../sources/byte-source.ts";
import { ggufTokenizerJson } from "./gguf-vocabulary.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

export type { Tokenizer } from "./tokenizer.ts";

/** The largest published ones take some tens of MB. */
const MAX_TOKENIZER_BYTES = 128 * 1024 * 1024;
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/**
 * The tokenizer of the model in `files`, or `undefined` when it comes without any: such a model still runs on ids.
 * @throws FormatError, UnsupportedError for a vocabulary that Octavo cannot read, SourceError, `AbortError`.
 */
export async function loadTokenizer(
  files: FileSet,
  checkpoint: Checkpoint,
  signal?: AbortSignal,
): Promise<Tokenizer | undefined> {
  const [source, config] = await Promise.all([
    files.open("tokenizer.json", signal),
    openJson(files, "tokenizer_config.json", signal),
  ]);
  if (source) return createTokenizer(source.label, await readJson(source, MAX_TOKENIZER_BYTES, signal), config);
  if (checkpoint.container !== "gguf") return undefined;
  const json = ggufTokenizerJson(checkpoint.config);
  return json && createTokenizer("GGUF metadata", json);
}

async function openJson(files: FileSet, name: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
  const source = await files.open(name, signal);
  return source && readJson(source, MAX_CONFIG_BYTES, signal);
}
