/**
 * The vocabulary inside a GGUF file, mapped to the structure of `tokenizer.json`. Only byte-level BPE ("gpt2") is here;
 * how text is split before merging is a name in the file, and a wrong guess would be silently worse, so unknown names
 * are refused.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { JsonObject } from "../formats/read-json.ts";

/** ggml's token types that mean something here: neither takes part in merging; a control token is "special". */
const CONTROL_TYPE = 3;
const USER_DEFINED_TYPE = 4;

/** Case-insensitive contractions, then words with one leading other character, then digits as given, then the rest. */
const splitPattern = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*` +
  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const byteLevel = (useRegex: boolean): JsonObject => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

const sequence = (...pretokenizers: JsonObject[]): JsonObject => ({ type: "Sequence", pretokenizers });

const split = (pattern: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});

/** How one `tokenizer.ggml.pre` treats text before merging. */
interface Variant {
  readonly normalizer: JsonObject | null;
  readonly preTokenizer: JsonObject;
  /** A piece that is a whole token is taken as such, merges or not. */
  readonly ignoreMerges: boolean;
  /** Where the file does not say. */
  readonly addBos: boolean;
}

const GPT2: Variant = { normalizer: null, preTokenizer: byteLevel(true), ignoreMerges: false, addBos: false };

const VARIANTS: ReadonlyMap<string, Variant> = new Map([
  ["default", GPT2],
  ["gpt-2", GPT2],
  ["smollm", { ...GPT2, preTokenizer: sequence({ type: "Digits", individual_digits: true }, byteLevel(true)) }],
  [
    "qwen2",
    {
      ...GPT2,
      normalizer: { type: "NFC" },
      preTokenizer: sequence(split(splitPattern("\\p{N}")), byteLevel(false)),
    },
  ],
  [
    "llama-bpe",
    {
      ...GPT2,
      preTokenizer: sequence(split(splitPattern("\\p{N}{1,3}")), byteLevel(false)),
      ignoreMerges: true,
      addBos: true,
    },
  ],
]);

/**
 * The `tokenizer.json` structure of the vocabulary in GGUF `metadata`, or `undefined` when it has none.
 * @throws UnsupportedError for other models than byte-level BPE and for unknown splits; FormatError.
 */
export function ggufTokenizerJson(metadata: Readonly<Record<string, unknown>>): JsonObject | undefined {
  const model = metadata["tokenizer.ggml.model"];
  if (model === undefined || model === "none") return undefined;
  if (model !== "gpt2") {
    throw new UnsupportedError(
      `The file's vocabulary is of kind "${String(model)}"; supported: gpt2. ` +
        "Put the model's tokenizer.json beside the file",
    );
  }
  const variant = variantOf(metadata["tokenizer.ggml.pre"] ?? "default");
  const tokens = strings(metadata, "tokenizer.ggml.tokens");
  const merges = strings(metadata, "tokenizer.ggml.merges").map(splitMerge);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(metadata, tokens),
    normalizer: variant.normalizer,
    pre_tokenizer: variant.preTokenizer,
    post_processor: postProcessor(metadata, tokens, variant.addBos),
    decoder: byteLevel(true),
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      byte_fallback: false,
      ignore_merges: variant.ignoreMerges,
      // fromEntries defines own properties, so that a token such as "__proto__" stays a token.
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

function variantOf(pre: unknown): Variant {
  const variant = typeof pre === "string" ? VARIANTS.get(pre) : undefined;
  if (variant) return variant;
  throw new UnsupportedError(
    `The file's vocabulary splits text by "${String(pre)}"; supported: ${[...VARIANTS.keys()].join(", ")}. ` +
      "Put the model's tokenizer.json beside the file",
  );
}

function strings(metadata: Readonly<Record<string, unknown>>, key: string): string[] {
  const value = metadata[key];
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  const texts = items.filter((item) => typeof item === "string");
  if (Array.isArray(value) && texts.length === items.length) return texts;
  throw new FormatError(`GGUF metadata: expected "${key}" to be an array of strings, got ${typeof value}`);
}

/** "a b" -> ["a", "b"]; the parts themselves hold no space, byte-level BPE spells it otherwise. */
function splitMerge(merge: string): [string, string] {
  const at = merge.indexOf(" ", 1);
  if (at > 0 && at < merge.length - 1) return [merge.slice(0, at), merge.slice(at + 1)];
  throw new FormatError(`GGUF metadata: expected a merge of two tokens, got ${JSON.stringify(merge.slice(0, 80))}`);
}

function addedTokens(metadata: Readonly<Record<string, unknown>>, tokens: readonly string[]): JsonObject[] {
  const value = metadata["tokenizer.ggml.token_type"] ?? [];
  if (!Array.isArray(value) || (value.length !== 0 && value.length !== tokens.length)) {
    throw new FormatError(`GGUF metadata: expected "tokenizer.ggml.token_type" for each of ${tokens.length} tokens`);
  }
  const types: readonly unknown[] = value;
  return tokens.flatMap((content, id) => {
    const special = types[id] === CONTROL_TYPE;
    if (!special && types[id] !== USER_DEFINED_TYPE) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

/** Puts the begin token first where the file, or by default its kind, says so. */
function postProcessor(
  metadata: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
  addBosByDefault: boolean,
): JsonObject | null {
  const addBos = metadata["tokenizer.ggml.add_bos_token"] ?? addBosByDefault;
  const id = metadata["tokenizer.ggml.bos_token_id"];
  if (addBos !== true || id === undefined) return null;
  const token = typeof id === "number" ? tokens[id] : undefined;
  if (token === undefined)
    throw new FormatError(`GGUF metadata: expected a token id as "bos_token_id", got ${String(id)}`);
  const text = { Sequence: { id: "A", type_id: 0 } };
  const bos = { SpecialToken: { id: token, type_id: 0 } };
  return {
    type: "TemplateProcessing",
    single: [bos, text],
    pair: [bos, text, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}
