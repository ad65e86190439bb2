/** The door to a tokenizer without a model. What reads it is loaded on the first call, so that a page without one is not larger. */
import type { ModelTokenizer } from "../tokenizer/load.ts";
import { wireSource } from "./model-source.ts";
import type { ModelSource } from "./types.ts";

/**
 * Opens a tokenizer by itself: on a page, in a worker or in Node. Of a GGUF file only the header is read.
 *
 * @param source URL of a `.gguf` (weights need not be in it), of a `tokenizer.json` or of its folder; the id of a model
 * on a hub; `File`(s) the user picked; files in memory. Outside a page the URL must be absolute.
 * @throws SourceError, FormatError, `AbortError`; UnsupportedError for a vocabulary that cannot be read, or none.
 */
export async function loadTokenizer(
  source: ModelSource,
  options: { readonly signal?: AbortSignal } = {},
): Promise<ModelTokenizer> {
  const { openTokenizer } = await import("../tokenizer/open.ts");
  return openTokenizer(wireSource(source, globalThis.document?.baseURI), options.signal);
}
