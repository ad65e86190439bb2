/**
 * The kept library as a pipeline over plain text: normalizer, splits, merges, and back. Special tokens are kept out of
 * it, so that no text can become one: their spellings in the library's vocabulary are made unspellable, and text is cut
 * at them before it comes here.
 */
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { FormatError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../formats/read-json.ts";
import type { AddedToken } from "./added-tokens.ts";
import { GPT2_WORDS, isolate } from "./gguf-splits.ts";
import { alphabetBytes, fallbackByte } from "./token-bytes.ts";

/** A lone surrogate: text is made well-formed before it is encoded, so nothing that holds one is ever matched. */
const UNSPELLABLE = "\udfff";

export interface Pipeline {
  normalize(text: string): string;
  /** Ids of normalized `text`, of which `index` sections came before. */
  encode(text: string, index: number): number[];
  /** Text of tokens as the vocabulary spells them. `continued`: other text stands before them. */
  decode(tokens: readonly string[], continued: boolean): string;
  /** Bytes that a token as the vocabulary spells it adds within a text. */
  bytesOf(token: string): Uint8Array;
  /** Spelling of `id`, special tokens excepted. */
  tokenOf(id: number): string | undefined;
  /** Id of a spelling, special tokens excepted. */
  idOf(token: string): number | undefined;
  /** What the model's own rules put before and behind a text. */
  readonly frame: { readonly before: readonly string[]; readonly behind: readonly string[] };
  /** The decoder spells bytes as GPT-2 does, so an added token must not pass through it. */
  readonly byteAlphabet: boolean;
}

/**
 * @param where what messages call the JSON. @param added tokens that text was cut at before.
 * @param scores of pieces, where merges follow from them (SentencePiece).
 * @throws FormatError when `json` describes no tokenizer.
 */
export function buildPipeline(
  where: string,
  json: JsonObject,
  config: JsonObject,
  added: readonly AddedToken[],
  scores?: ReadonlyMap<string, number>,
): Pipeline {
  const hidden = new Set(added.filter(({ special }) => special).map(({ content }) => content));
  const hf = construct(where, prepared(json, hidden), config);
  const { model, decoder } = hf;
  if (!model) throw new FormatError(`${where}: not a tokenizer: it has no model`);
  // The library asks a pair of tokens for its rank in the list of merges, and of equal ranks takes the leftmost.
  if (scores && "bpe_ranks" in model) model.bpe_ranks = new ScoreRanks(scores);
  const idOf = (token: string): number | undefined => model.tokens_to_ids.get(token) ?? model.unk_token_id;
  const decodeTokens = (tokens: string[]): string => {
    const text = decoder ? decoder.decode(tokens) : tokens.join(" ");
    return decoder?.end_of_word_suffix ? text.replaceAll(decoder.end_of_word_suffix, " ") : text;
  };
  const inAlphabet = JSON.stringify(json.decoder ?? null).includes('"ByteLevel"');
  const fallsBack = JSON.stringify(json.decoder ?? null).includes('"ByteFallback"');
  const decode = (tokens: readonly string[], continued: boolean): string =>
    continued ? decodeTokens(["x", ...tokens]).slice(1) : decodeTokens([...tokens]);
  return {
    normalize: (text) => hf.normalizer?.normalize(text) ?? text,
    encode: (text, index) => {
      const pieces = hf.pre_tokenizer?.pre_tokenize(text, { section_index: index }) ?? [text];
      return model._call(pieces).map((token) => idOf(token) ?? missing(where, token));
    },
    // Decoders may strip the first token of a text: an ordinary one stands there instead.
    decode,
    bytesOf: (token) => {
      if (inAlphabet) return alphabetBytes(token);
      const byte = fallsBack ? fallbackByte(token) : undefined;
      return byte === undefined ? new TextEncoder().encode(decode([token], true)) : Uint8Array.of(byte);
    },
    tokenOf: (id) => {
      const token = model.vocab[id];
      return token?.startsWith(UNSPELLABLE) ? undefined : token;
    },
    idOf: (token) => model.tokens_to_ids.get(token),
    frame: frameOf(hf),
    byteAlphabet: inAlphabet,
  };
}

function construct(where: string, json: JsonObject, config: JsonObject): HfTokenizer {
  try {
    return new HfTokenizer(json, config);
  } catch (error) {
    // The library checks its input as it goes and has no error of its own.
    throw new FormatError(`${where}: not a tokenizer: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function missing(where: string, token: string): never {
  throw new FormatError(`${where}: the token ${JSON.stringify(token)} that it makes of a text has no id`);
}

function prepared(json: JsonObject, hidden: ReadonlySet<string>): JsonObject {
  return {
    ...json,
    model: isJsonObject(json.model) ? withHidden(json.model, hidden) : json.model,
    ...("pre_tokenizer" in json ? { pre_tokenizer: corrected(json.pre_tokenizer) } : {}),
    added_tokens: [],
  };
}

/** The model with the spellings of special tokens made unspellable; ids stay. */
function withHidden(model: JsonObject, hidden: ReadonlySet<string>): JsonObject {
  const hide = <T>(token: T): T | string =>
    typeof token === "string" && hidden.has(token) ? UNSPELLABLE + token : token;
  const { vocab, unk_token } = model;
  const unk = unk_token === undefined ? {} : { unk_token: hide(unk_token) };
  if (Array.isArray(vocab)) {
    const pieces: readonly unknown[] = vocab;
    return { ...model, ...unk, vocab: pieces.map((piece) => (Array.isArray(piece) ? piece.map(hide) : piece)) };
  }
  if (!isJsonObject(vocab)) return model;
  const renamed: Record<string, unknown> = { ...vocab };
  for (const content of hidden) {
    if (!Object.hasOwn(renamed, content)) continue;
    renamed[UNSPELLABLE + content] = renamed[content];
    delete renamed[content];
  }
  return { ...model, ...unk, vocab: renamed };
}

/**
 * Two steps that the library does with JavaScript's `\d` and `\s`, where the original has Unicode's numbers and white
 * space, written as patterns, which it translates well.
 */
function corrected(step: unknown): unknown {
  if (!isJsonObject(step)) return step;
  if (Array.isArray(step.pretokenizers)) return { ...step, pretokenizers: step.pretokenizers.map(corrected) };
  if (step.type === "Digits") return isolate(step.individual_digits === true ? "\\p{N}" : "\\p{N}+");
  if (step.type !== "ByteLevel" || step.use_regex === false || step.add_prefix_space === true) return step;
  return { type: "Sequence", pretokenizers: [isolate(GPT2_WORDS), { ...step, use_regex: false }] };
}

function frameOf(hf: HfTokenizer): Pipeline["frame"] {
  const framed = hf.post_processor?.post_process([UNSPELLABLE], null, true).tokens ?? [UNSPELLABLE];
  const at = framed.indexOf(UNSPELLABLE);
  return { before: framed.slice(0, Math.max(0, at)), behind: framed.slice(at + 1) };
}

/** Ranks of pairs that follow from the scores of the tokens they make; equal scores rank equally. */
class ScoreRanks extends Map<string, number> {
  readonly #rankOf: ReadonlyMap<string, number>;

  constructor(scores: ReadonlyMap<string, number>) {
    super();
    const order = [...new Set(scores.values())].sort((a, b) => b - a);
    const rankOfScore = new Map(order.map((score, rank) => [score, rank]));
    this.#rankOf = new Map([...scores].map(([token, score]) => [token, rankOfScore.get(score) ?? order.length]));
  }

  /** @param pair JSON of two strings, as the library spells it. */
  override get(pair: string): number | undefined {
    return this.#rankOf.get(joined(pair));
  }
}

function joined(pair: string): string {
  if (pair.includes("\\")) return (JSON.parse(pair) as string[]).join("");
  const end = pair.indexOf('"', 2);
  return pair.slice(2, end) + pair.slice(end + 3, -2);
}
