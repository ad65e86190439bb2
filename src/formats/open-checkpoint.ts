/** Opens a checkpoint of either container: a GGUF file where the user pointed at one, else a Hugging Face folder. */
import type { FileSet } from "../sources/byte-source.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { openGguf } from "./gguf.ts";
import { openSafetensors } from "./safetensors.ts";

/**
 * Reads the headers, no weights.
 * @throws FormatError, UnsupportedError (a storage type that Octavo lacks), SourceError, `AbortError`.
 */
export function openCheckpoint(files: FileSet, signal?: AbortSignal): Promise<Checkpoint> {
  return files.entry === undefined ? openSafetensors(files, signal) : openGguf(files, files.entry, signal);
}
