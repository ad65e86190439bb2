/**
 * Finds a model's tokenizer and what belongs to its chats: `tokenizer.json` beside the weights, else the vocabulary
 * inside a GGUF file; chat templates and ends of turns from the small files of a folder, or from the GGUF's metadata.
 */
import type { Checkpoint } from "../formats/checkpoint.ts";
import { isJsonObject, type JsonObject, readJson } from "../formats/read-json.ts";
import type { FileSet } from "../sources/byte-source.ts";
import { chatFormat } from "./chat-format.ts";
import { chatPrompt } from "./chat-prompt.ts";
import type { ChatFormat, ChatMessage, ChatOptions, ChatPrompt } from "./chat-types.ts";
import { ggufVocabulary } from "./gguf-vocabulary.ts";
import { folderTemplates, metadataTemplates, type Templates } from "./templates.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

export type { Tokenizer } from "./tokenizer.ts";

/** The largest published ones take some tens of MB. */
const MAX_TOKENIZER_BYTES = 128 * 1024 * 1024;
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** A tokenizer with what its model says about chats. */
export interface ModelTokenizer extends Tokenizer {
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly chatFormat: ChatFormat;
  /** Jinja texts by name; "default" is the one without a name. */
  readonly chatTemplates: ReadonlyMap<string, string>;
  /**
   * A conversation to text and ids. Only the template's own markers become special tokens, whatever the messages spell.
   * @throws UsageError for messages that the template refuses; UnsupportedError without a template.
   */
  chatPrompt(messages: readonly ChatMessage[], options?: ChatOptions): Promise<ChatPrompt>;
}

/**
 * The tokenizer of the model in `files`, or `undefined` when it comes without any: such a model still runs on ids.
 * @throws FormatError, UnsupportedError for a vocabulary that Octavo cannot read, SourceError, `AbortError`.
 */
export async function loadTokenizer(
  files: FileSet,
  checkpoint: Pick<Checkpoint, "container" | "config">,
  signal?: AbortSignal,
): Promise<ModelTokenizer | undefined> {
  const isGguf = checkpoint.container === "gguf";
  const [source, config = {}] = await Promise.all([
    files.open("tokenizer.json", signal),
    openJson(files, "tokenizer_config.json", signal),
  ]);
  const metadata = isGguf ? checkpoint.config : {};
  if (source) {
    const json = await readJson(source, MAX_TOKENIZER_BYTES, signal);
    const tokenizer = createTokenizer(source.label, json, config);
    const [templates, generation = {}] = await Promise.all([
      folderTemplates(files, config, isGguf, signal),
      isGguf ? undefined : openJson(files, "generation_config.json", signal),
    ]);
    const named = tokenNames(tokenizer, config, metadata);
    const ends = [named.eos_token, ...endIds(generation.eos_token_id), ...metadataEnds(metadata)];
    return modelTokenizer(tokenizer, templates.size > 0 ? templates : metadataTemplates(metadata), named, ends);
  }
  const vocabulary = isGguf ? ggufVocabulary(metadata) : undefined;
  if (!vocabulary) return undefined;
  const tokenizer = createTokenizer("GGUF metadata", vocabulary.json, {}, vocabulary.scores);
  const named = tokenNames(tokenizer, {}, metadata);
  return modelTokenizer(tokenizer, metadataTemplates(metadata), named, [named.eos_token, ...metadataEnds(metadata)]);
}

async function openJson(files: FileSet, name: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
  const source = await files.open(name, signal);
  return source && readJson(source, MAX_CONFIG_BYTES, signal);
}

/** Ids of the tokens that templates know by name. */
type NamedIds = Readonly<Record<string, number | undefined>>;

function modelTokenizer(
  tokenizer: Tokenizer,
  templates: Templates,
  named: NamedIds,
  ends: readonly (number | undefined)[],
): ModelTokenizer {
  const known = ends.filter((id) => id !== undefined && tokenizer.tokenOf(id) !== undefined) as number[];
  const format = chatFormat(tokenizer, templates, known);
  const spelled = Object.entries(named).flatMap(([name, id]) => {
    const token = id === undefined ? undefined : tokenizer.tokenOf(id);
    return token === undefined ? [] : [[name, token] as const];
  });
  const model = { tokenizer, templates, tokens: Object.fromEntries(spelled), thinking: format.thinking };
  return Object.assign(tokenizer, {
    bosId: named.bos_token,
    eosId: named.eos_token,
    chatFormat: format,
    chatTemplates: templates,
    chatPrompt: (messages: readonly ChatMessage[], options?: ChatOptions) => chatPrompt(model, messages, options),
  });
}

/** From `tokenizer_config.json` by spelling, from a GGUF by id. */
function tokenNames(tokenizer: Tokenizer, config: JsonObject, metadata: Readonly<Record<string, unknown>>): NamedIds {
  const keys = { bos_token: "bos", eos_token: "eos", unk_token: "unknown", pad_token: "padding" };
  const ids = Object.entries(keys).map(([name, key]) => {
    const token = config[name];
    const content = isJsonObject(token) ? token.content : token;
    const id = metadata[`tokenizer.ggml.${key}_token_id`];
    if (typeof content === "string") return [name, tokenizer.idOf(content)];
    return [name, typeof id === "number" && tokenizer.tokenOf(id) !== undefined ? id : undefined];
  });
  return Object.fromEntries(ids);
}

/** Ends of turns that a GGUF names: of messages, and of turns that wait for a tool. */
function metadataEnds(metadata: Readonly<Record<string, unknown>>): number[] {
  return ["eos", "eot", "eom"].flatMap((key) => endIds(metadata[`tokenizer.ggml.${key}_token_id`]));
}

/** One id or a list of them. */
function endIds(value: unknown): number[] {
  const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  return ids.filter((id) => typeof id === "number");
}
