/**
 * The vocabulary inside a GGUF file, mapped to the structure of `tokenizer.json`: byte-level BPE ("gpt2") and
 * SentencePiece's BPE ("llama"). Kinds, token types and defaults are llama.cpp's.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { JsonObject } from "../formats/read-json.ts";
import { byteLevel, preTokenizerOf, splitRule } from "./gguf-splits.ts";

type Metadata = Readonly<Record<string, unknown>>;

export interface GgufVocabulary {
  readonly json: JsonObject;
  /** Of pieces that merging may make; their order is that of the merges (SentencePiece only). */
  readonly scores?: ReadonlyMap<string, number>;
}

/** ggml's token types that mean something here; an unused token (5) is one like any other, as in llama.cpp. */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const BYTE = 6;

/** Ids that name a role of a token, and so make it special whatever its type says. */
const ROLE_KEYS = ["bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"] as const;
/** Ids that a SentencePiece vocabulary has where the file names none. */
const SPM_DEFAULT_IDS: Readonly<Record<string, number>> = { bos_token_id: 1, eos_token_id: 2, unknown_token_id: 0 };
/** What SentencePiece writes for a space. */
const SPACE_MARK = "\u2581";

/**
 * The vocabulary in GGUF `metadata`, or `undefined` when it has none.
 * @throws UnsupportedError for other kinds than byte-level BPE and SentencePiece's BPE, and for unknown splits; FormatError.
 */
export function ggufVocabulary(metadata: Metadata): GgufVocabulary | undefined {
  const model = metadata["tokenizer.ggml.model"];
  if (model === undefined || model === "none") return undefined;
  if (model === "gpt2") return bytePairVocabulary(readTokens(metadata));
  if (model === "llama") return sentencePieceVocabulary(readTokens(metadata));
  throw new UnsupportedError(
    `The file's vocabulary is of kind "${String(model).slice(0, 80)}"; supported: gpt2, llama. ` +
      "Put the model's tokenizer.json beside the file",
  );
}

/** The tokens of a file with what is said of each. */
interface Tokens {
  readonly metadata: Metadata;
  readonly texts: readonly string[];
  typeOf(id: number): number;
  /** Id under `tokenizer.ggml.<key>`, where it is that of a token. */
  idAt(key: string): number | undefined;
}

function readTokens(metadata: Metadata): Tokens {
  const texts = strings(metadata, "tokenizer.ggml.tokens");
  if (texts.length === 0) throw new FormatError('GGUF metadata: expected tokens in "tokenizer.ggml.tokens", got none');
  const types = numbers(metadata, "tokenizer.ggml.token_type", texts.length);
  const isSentencePiece = metadata["tokenizer.ggml.model"] === "llama";
  const idAt = (key: string): number | undefined => {
    const fallback = isSentencePiece ? SPM_DEFAULT_IDS[key] : undefined;
    const id = metadata[`tokenizer.ggml.${key}`] ?? fallback;
    return typeof id === "number" && Number.isInteger(id) && id >= 0 && id < texts.length ? id : undefined;
  };
  const roles = new Set(ROLE_KEYS.map(idAt));
  const typeOf = (id: number): number => (roles.has(id) ? CONTROL : (types?.[id] ?? NORMAL));
  return { metadata, texts, typeOf, idAt };
}

/** @throws FormatError for a spelling that two ids share: text could not tell them apart. */
function vocabularyOf({ texts }: Tokens): JsonObject {
  const ids = new Map<string, number>();
  texts.forEach((text, id) => {
    // A place without a token: no text is that, and it decodes to nothing.
    if (text === "") return;
    const other = ids.get(text);
    if (other !== undefined) {
      throw new FormatError(
        `GGUF metadata: expected every token once, got ${JSON.stringify(text.slice(0, 80))} as ${other} and ${id}`,
      );
    }
    ids.set(text, id);
  });
  // fromEntries defines own properties, so that a token such as "__proto__" stays a token.
  return Object.fromEntries(ids);
}

function bytePairVocabulary(tokens: Tokens): GgufVocabulary {
  const { metadata } = tokens;
  const rule = splitRule(metadata["tokenizer.ggml.pre"] ?? "default");
  const vocab = vocabularyOf(tokens);
  const merges = strings(metadata, "tokenizer.ggml.merges").map((merge) => splitMerge(merge, vocab));
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(tokens, (text) => text),
    normalizer: rule.normalizer,
    pre_tokenizer: preTokenizerOf(rule),
    post_processor: postProcessor(tokens, rule.addBos),
    decoder: byteLevel(true),
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      byte_fallback: false,
      ignore_merges: rule.ignoreMerges,
      vocab,
      merges,
    },
  };
  return { json };
}

function sentencePieceVocabulary(tokens: Tokens): GgufVocabulary {
  const { metadata, texts } = tokens;
  const addPrefix = metadata["tokenizer.ggml.add_space_prefix"] !== false;
  const unk = tokens.idAt("unknown_token_id");
  const replace = (from: string, to: string) => ({ type: "Replace", pattern: { String: from }, content: to });
  const prefix = addPrefix ? [{ type: "Prepend", prepend: SPACE_MARK }] : [];
  const strip = addPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : [];
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(tokens, (text) => text.replaceAll(SPACE_MARK, " ")),
    normalizer: { type: "Sequence", normalizers: [...prefix, replace(" ", SPACE_MARK)] },
    pre_tokenizer: null,
    post_processor: postProcessor(tokens, true),
    decoder: {
      type: "Sequence",
      decoders: [replace(SPACE_MARK, " "), { type: "ByteFallback" }, { type: "Fuse" }, ...strip],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: unk === undefined ? null : texts[unk],
      byte_fallback: true,
      ignore_merges: false,
      vocab: vocabularyOf(tokens),
      merges: [],
    },
  };
  return { json, scores: mergeScores(tokens) };
}

/** Scores of the pieces that merging may make: never of a control token, a byte or one that text is cut at before. */
function mergeScores({ metadata, texts, typeOf }: Tokens): Map<string, number> {
  const scores = numbers(metadata, "tokenizer.ggml.scores", texts.length);
  if (!scores)
    throw new FormatError('GGUF metadata: expected "tokenizer.ggml.scores" for a vocabulary of kind "llama"');
  const mergeable = new Map<string, number>();
  texts.forEach((text, id) => {
    const type = typeOf(id);
    if (type === UNKNOWN || type === CONTROL || type === USER_DEFINED || type === BYTE) return;
    mergeable.set(text, scores[id] ?? 0);
  });
  return mergeable;
}

/** Control tokens and the unknown token are special; user-defined ones are found in any text. */
function addedTokens({ texts, typeOf }: Tokens, spelling: (text: string) => string): JsonObject[] {
  return texts.flatMap((text, id) => {
    const type = typeOf(id);
    const special = type === CONTROL || type === UNKNOWN;
    if (!special && type !== USER_DEFINED) return [];
    const content = special ? text : spelling(text);
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

/** Puts the begin token first and the end token last where the file, or by default its kind, says so. */
function postProcessor(tokens: Tokens, addBosByDefault: boolean): JsonObject | null {
  const { metadata } = tokens;
  const addBos = metadata["tokenizer.ggml.add_bos_token"] ?? addBosByDefault;
  const bos = addBos === true ? framing(tokens, "bos_token_id", "add_bos_token") : undefined;
  const addEos = metadata["tokenizer.ggml.add_eos_token"] ?? false;
  const eos = addEos === true ? framing(tokens, "eos_token_id", "add_eos_token") : undefined;
  if (bos === undefined && eos === undefined) return null;
  const special = (token: string | undefined) =>
    token === undefined ? [] : [{ SpecialToken: { id: token, type_id: 0 } }];
  const single = [...special(bos), { Sequence: { id: "A", type_id: 0 } }, ...special(eos)];
  return { type: "TemplateProcessing", single, pair: single, special_tokens: {} };
}

/** Spelling of the token under `key`; a file that asks for it by `flag` must have it. */
function framing({ metadata, texts, idAt }: Tokens, key: string, flag: string): string | undefined {
  const id = idAt(key);
  const given = metadata[`tokenizer.ggml.${key}`];
  if (id !== undefined && texts[id] !== "") return texts[id];
  if (given === undefined && metadata[`tokenizer.ggml.${flag}`] !== true) return undefined;
  throw new FormatError(`GGUF metadata: expected a token's id as "tokenizer.ggml.${key}", got ${String(given)}`);
}

function strings(metadata: Metadata, key: string): string[] {
  const value = metadata[key];
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  const texts = items.filter((item) => typeof item === "string");
  if (Array.isArray(value) && texts.length === items.length) return texts;
  throw new FormatError(`GGUF metadata: expected "${key}" to be an array of strings, got ${typeof value}`);
}

/** One number for each of `count` tokens, or `undefined` where the file has no list. */
function numbers(metadata: Metadata, key: string, count: number): number[] | undefined {
  const value = metadata[key];
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined;
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  const values = items.filter((item) => typeof item === "number" && !Number.isNaN(item));
  if (values.length === count && items.length === count) return values as number[];
  throw new FormatError(
    `GGUF metadata: expected "${key}" for each of ${count} tokens as numbers, got ${values.length} of ${items.length}`,
  );
}

/** "a b" -> ["a", "b"]; the parts themselves hold no space, byte-level BPE spells it otherwise. */
function splitMerge(merge: string, vocab: JsonObject): [string, string] {
  const at = merge.indexOf(" ", 1);
  const [left, right] = [merge.slice(0, Math.max(0, at)), merge.slice(at + 1)];
  // A merge into what is no token would make text vanish.
  if (at > 0 && right !== "" && Object.hasOwn(vocab, left + right)) return [left, right];
  throw new FormatError(
    `GGUF metadata: expected a merge of two tokens into one, got ${JSON.stringify(merge.slice(0, 80))}`,
  );
}
