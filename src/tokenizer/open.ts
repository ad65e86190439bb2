/** Opens a tokenizer by itself, without the model: of a GGUF file only the header is read, weights need not be there. */
import { UnsupportedError } from "../errors.ts";
import { readGgufHeader } from "../formats/gguf-header.ts";
import { openSource } from "../sources/open-source.ts";
import { loadTokenizer, type ModelTokenizer } from "./load.ts";

type Source = Parameters<typeof openSource>[0];

/**
 * @param source absolute address of a `.gguf`, of a `tokenizer.json` or of its folder; a model on a hub; picked
 *   files; files in memory.
 * @param open where there are places that a page does not know.
 * @throws FormatError, SourceError, `AbortError`; UnsupportedError for a vocabulary that cannot be read, or none.
 */
export async function openTokenizer(
  source: Source,
  signal?: AbortSignal,
  open: typeof openSource = openSource,
): Promise<ModelTokenizer> {
  const files = await open(folderOf(source), {}, signal);
  const gguf = files.entry === undefined ? undefined : await files.open(files.entry, signal);
  const header = gguf && (await readGgufHeader(gguf, await gguf.size(signal), signal));
  const config = Object.fromEntries(header?.metadata ?? []);
  const tokenizer = await loadTokenizer(files, { container: gguf ? "gguf" : "safetensors", config }, signal);
  if (tokenizer) return tokenizer;
  throw new UnsupportedError(
    `${files.label}: no tokenizer; expected a .gguf with a vocabulary, or tokenizer.json (of a split, its first file)`,
    { code: "no-tokenizer" },
  );
}

/** The folder of an address that ends in `tokenizer.json`; anything else as it is. */
function folderOf(source: Source): Source {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  return String(source).replace(/\/tokenizer\.json(?=$|[?#])/, "/");
}
