/** Text to token ids and back, over @huggingface/tokenizers. Which files the vocabulary comes from is `load.ts`. */
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { FormatError, UsageError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../formats/read-json.ts";
import { show } from "../util/show.ts";
import { createStreamDecoder, type StreamDecoder } from "./stream-decoder.ts";

export type { StreamDecoder } from "./stream-decoder.ts";

export interface Tokenizer {
  /**
   * Ids of `text`, with the begin token where the model's own tokenizer adds one. As in Hugging Face's libraries, the
   * spelling of an added token (`<|endoftext|>`) inside `text` becomes that token: keep it out of untrusted text.
   */
  encode(text: string): number[];
  /**
   * Text of `ids`, special tokens spelled out. Bytes that are no UTF-8 give U+FFFD; ids beyond the vocabulary (models
   * pad theirs) give nothing. @throws UsageError for what is no natural number.
   */
  decode(ids: readonly number[]): string;
  /** Decodes one continuation id by id. */
  createStreamDecoder(): StreamDecoder;
  /** One more than the highest id that has a token. */
  readonly vocabSize: number;
}

/**
 * Builds a tokenizer from the JSON of `tokenizer.json` and, where there is one, `tokenizer_config.json`.
 * @param where what messages call the JSON. @throws FormatError when it describes no tokenizer.
 */
export function createTokenizer(where: string, json: JsonObject, config: JsonObject = {}): Tokenizer {
  const vocabSize = vocabSizeOf(where, json);
  const hf = build(where, json, config);
  const decode = (ids: readonly number[]): string => {
    for (const id of ids) if (!Number.isSafeInteger(id) || id < 0) throw new UsageError(`${id} is no token id`);
    const known = ids.filter((id) => hf.id_to_token(id) !== undefined);
    // The library refuses an empty list, and by default tidies spaces, which would not give the text back.
    return known.length === 0
      ? ""
      : hf.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  };
  return {
    vocabSize,
    decode,
    encode: (text) => {
      const { ids, tokens } = hf.encode(text);
      const at = ids.findIndex((id) => !Number.isSafeInteger(id));
      if (at < 0) return ids;
      throw new FormatError(`${where}: the token ${JSON.stringify(tokens[at])} that it makes of a text has no id`);
    },
    createStreamDecoder: () => createStreamDecoder(decode),
  };
}

function build(where: string, json: JsonObject, config: JsonObject): HfTokenizer {
  try {
    return new HfTokenizer(json, config);
  } catch (error) {
    // The library checks its input as it goes and has no error of its own.
    throw new FormatError(`${where}: not a tokenizer: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function vocabSizeOf(where: string, json: JsonObject): number {
  const model = json.model;
  const vocab = isJsonObject(model) ? model.vocab : undefined;
  // Unigram lists its vocabulary, the others map token to id.
  const ids: unknown[] = Array.isArray(vocab) ? [...vocab.keys()] : isJsonObject(vocab) ? Object.values(vocab) : [];
  const added: unknown = json.added_tokens ?? [];
  if (ids.length === 0 || !Array.isArray(added))
    throw new FormatError(`${where}: expected model.vocab and added_tokens`);
  for (const token of added) ids.push(isJsonObject(token) ? token.id : undefined);
  let highest = -1;
  for (const id of ids) {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= MAX_VOCAB) {
      throw new FormatError(`${where}: expected token ids from 0 to ${MAX_VOCAB - 1}, got ${show(id)}`);
    }
    highest = Math.max(highest, id);
  }
  return highest + 1;
}

/** Far above any vocabulary; the library makes a table as long as the highest id. */
const MAX_VOCAB = 1 << 24;
