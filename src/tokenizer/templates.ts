/** Where a model's chat templates are: small files of a folder, `tokenizer_config.json`, or the metadata of a GGUF. */
import { FormatError } from "../errors.ts";
import { isJsonObject, type JsonObject, readJson } from "../formats/read-json.ts";
import type { FileSet } from "../sources/byte-source.ts";
import { humanBytes } from "../util/math.ts";

/** Jinja texts by name; "default" is the one without a name. */
export type Templates = ReadonlyMap<string, string>;

const MAX_TEMPLATE_BYTES = 1024 * 1024;
const GGUF_KEY = "tokenizer.chat_template";

/**
 * Templates of a folder. A file of their own goes before `tokenizer_config.json`; beside a GGUF only the latter is asked
 * for, since the GGUF has them inside. @throws FormatError, SourceError, `AbortError`.
 */
export async function folderTemplates(
  files: FileSet,
  config: JsonObject,
  isGguf: boolean,
  signal?: AbortSignal,
): Promise<Templates> {
  const inConfig = readTemplates(config.chat_template);
  if (isGguf) return inConfig;
  const [jinja, json] = await Promise.all([
    files.open("chat_template.jinja", signal),
    files.open("chat_template.json", signal),
  ]);
  const inJson = json ? readTemplates((await readJson(json, MAX_TEMPLATE_BYTES, signal)).chat_template) : new Map();
  const ownFile = new Map<string, string>();
  if (jinja) {
    const size = await jinja.size(signal);
    if (size > MAX_TEMPLATE_BYTES) {
      throw new FormatError(
        `${jinja.label}: expected at most ${humanBytes(MAX_TEMPLATE_BYTES)}, got ${humanBytes(size)}`,
      );
    }
    ownFile.set("default", new TextDecoder().decode(await jinja.read(0, size, signal)));
  }
  return new Map([...inConfig, ...inJson, ...ownFile]);
}

/** A template, or a list of named ones. */
function readTemplates(value: unknown): Templates {
  if (typeof value === "string") return new Map([["default", value]]);
  const entries: readonly unknown[] = Array.isArray(value) ? value : [];
  const named = entries.flatMap((entry) =>
    isJsonObject(entry) && typeof entry.name === "string" && typeof entry.template === "string"
      ? [[entry.name, entry.template] as const]
      : [],
  );
  return new Map(named);
}

/** `tokenizer.chat_template`, and named ones under `tokenizer.chat_template.<name>`. */
export function metadataTemplates(metadata: Readonly<Record<string, unknown>>): Templates {
  const templates = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string" || !key.startsWith(GGUF_KEY)) continue;
    if (key === GGUF_KEY) templates.set("default", value);
    else if (key[GGUF_KEY.length] === ".") templates.set(key.slice(GGUF_KEY.length + 1), value);
  }
  return templates;
}
