/** Text to token ids and back. Which files the vocabulary comes from is `load.ts`; the library is behind `pipeline.ts`. */
import { FormatError, UsageError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../formats/read-json.ts";
import { show } from "../util/show.ts";
import { type AddedToken, readAddedTokens, type Section, TokenFinder } from "./added-tokens.ts";
import { buildPipeline, missing, type Pipeline } from "./pipeline.ts";
import { createStreamDecoder, type StreamDecoder } from "./stream-decoder.ts";

export type { StreamDecoder } from "./stream-decoder.ts";

/** How text becomes ids. */
export interface EncodeOptions {
  /** Put the tokens before and behind the text that the model's own rules put there (a begin token). Default true. */
  readonly addSpecial?: boolean | undefined;
  /**
   * Let the spelling of a special token (`<|im_end|>`) in the text be that token. Default false: it stays text, so
   * text from outside can end no turn and begin none.
   */
  readonly allowSpecial?: boolean | undefined;
}

/** A token that text is searched for, with its spelling. */
export interface SpecialToken {
  readonly id: number;
  readonly content: string;
}

/** Text to ids and back, as the checkpoint has it. */
export interface Tokenizer {
  /** Ids of `text`. Lone surrogates count as U+FFFD. */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Ids of a text in which special tokens count, except where `mark` stands inside their spelling. `mark` itself is taken
   * out. Special tokens of a single character do not count, for nothing can stand inside. Adds nothing around the text.
   */
  encodeMarked(text: string, mark: string): number[];
  /** `text` cut at special tokens of two characters or more: these, and the stretches between them. */
  splitSpecials(text: string): (string | SpecialToken)[];
  /**
   * Text of `ids`, special tokens spelled out. Bytes that are no UTF-8 give U+FFFD; ids beyond the vocabulary (models
   * pad theirs) give nothing. @throws UsageError for what is no natural number.
   */
  decode(ids: readonly number[]): string;
  /** Decodes one continuation id by id; `before` are the ids that it continues, of which the last few are looked at. */
  createStreamDecoder(before?: readonly number[]): StreamDecoder;
  /** Id of a token as the vocabulary spells it (`Ġhello`), special or not. */
  idOf(token: string): number | undefined;
  /** The vocabulary's spelling of `id`. */
  tokenOf(id: number): string | undefined;
  /** Bytes that `id` adds within a text, maybe a part of a character; none for special tokens and where no token is. */
  bytesOf(id: number): Uint8Array | undefined;
  /** One more than the highest id that has a token. */
  readonly vocabSize: number;
  /** Special tokens, by id: no text becomes one unless `allowSpecial` says so. */
  readonly specials: readonly SpecialToken[];
  /** Tokens that are found in text as they are spelled, without being special. */
  readonly userDefined: readonly SpecialToken[];
}

/**
 * Builds a tokenizer from the JSON of `tokenizer.json` and, where there is one, `tokenizer_config.json`.
 * @param where what messages call the JSON.
 * @param scores of pieces, for a vocabulary whose merges follow from them (SentencePiece) and are not listed.
 * @throws FormatError when it describes no tokenizer.
 */
export function createTokenizer(
  where: string,
  json: JsonObject,
  config: JsonObject = {},
  scores?: ReadonlyMap<string, number>,
): Tokenizer {
  const added = readAddedTokens(where, json.added_tokens ?? []);
  const vocabSize = vocabSizeOf(where, json, added);
  const pipeline = buildPipeline(where, json, config, added, scores);
  return new LibraryTokenizer(where, pipeline, added, vocabSize);
}

class LibraryTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly specials: readonly SpecialToken[];
  readonly userDefined: readonly SpecialToken[];
  readonly #pipeline: Pipeline;
  readonly #addedById: ReadonlyMap<number, AddedToken>;
  readonly #addedByContent: ReadonlyMap<string, AddedToken>;
  /** Finders of special tokens, of those that a mark can stand inside, of others in text as given and in normalized text. */
  readonly #special: TokenFinder;
  readonly #markable: TokenFinder;
  readonly #given: TokenFinder;
  readonly #normalized: TokenFinder;
  readonly #before: readonly number[];
  readonly #behind: readonly number[];

  constructor(where: string, pipeline: Pipeline, added: readonly AddedToken[], vocabSize: number) {
    this.vocabSize = vocabSize;
    this.#pipeline = pipeline;
    this.#addedById = new Map(added.map((token) => [token.id, token]));
    this.#addedByContent = new Map(added.map((token) => [token.content, token]));
    const plain = added.filter(({ special }) => !special);
    const special = added.filter((token) => token.special);
    this.#special = new TokenFinder(special);
    this.#markable = new TokenFinder(special.filter(({ content }) => [...content].length > 1));
    this.#given = new TokenFinder(plain.filter(({ normalized }) => !normalized));
    this.#normalized = new TokenFinder(
      plain.filter(({ normalized }) => normalized),
      ({ content }) => pipeline.normalize(content),
    );
    const name = ({ id, content }: AddedToken): SpecialToken => ({ id, content });
    this.specials = special.map(name);
    this.userDefined = plain.map(name);
    const idOf = (token: string): number => this.idOf(token) ?? missing(where, token);
    this.#before = pipeline.frame.before.map(idOf);
    this.#behind = pipeline.frame.behind.map(idOf);
  }

  encode(text: string, { addSpecial = true, allowSpecial = false }: EncodeOptions = {}): number[] {
    const ids = this.#encodeSections(allowSpecial ? this.#special.split(text) : [text]);
    return addSpecial ? [...this.#before, ...ids, ...this.#behind] : ids;
  }

  encodeMarked(text: string, mark: string): number[] {
    const sections = this.#markable.split(text);
    return this.#encodeSections(sections.map((s) => (typeof s === "string" ? s.replaceAll(mark, "") : s)));
  }

  splitSpecials(text: string): (string | SpecialToken)[] {
    return this.#markable.split(text);
  }

  #encodeSections(sections: readonly Section[]): number[] {
    const found = sections.flatMap((s) => (typeof s === "string" ? this.#given.split(wellFormed(s)) : [s]));
    return found.flatMap((s, index) => (typeof s === "string" ? this.#encodeStretch(s, index) : [s.id]));
  }

  #encodeStretch(text: string, index: number): number[] {
    const sections = this.#normalized.split(this.#pipeline.normalize(text));
    return sections.flatMap((s) => (typeof s === "string" ? this.#pipeline.encode(s, index) : [s.id]));
  }

  decode(ids: readonly number[]): string {
    let text = "";
    let run: string[] = [];
    let continued = false;
    const finish = (): void => {
      if (run.length > 0) text += this.#pipeline.decode(run, continued);
      continued ||= run.length > 0;
      run = [];
    };
    for (const id of ids) {
      if (!Number.isSafeInteger(id) || id < 0) throw new UsageError(`${id} is no token id`);
      const added = this.#addedById.get(id);
      if (added && (added.special || this.#pipeline.byteAlphabet)) {
        finish();
        text += added.content;
        continued = true;
        continue;
      }
      const token = this.tokenOf(id);
      if (token !== undefined) run.push(token);
    }
    finish();
    return text;
  }

  createStreamDecoder(before: readonly number[] = []): StreamDecoder {
    return createStreamDecoder((ids) => this.decode(ids), before);
  }

  idOf(token: string): number | undefined {
    return this.#addedByContent.get(token)?.id ?? this.#pipeline.idOf(token);
  }

  bytesOf(id: number): Uint8Array | undefined {
    const added = this.#addedById.get(id);
    if (added) return added.special ? undefined : new TextEncoder().encode(added.content);
    const token = this.#pipeline.tokenOf(id);
    return token === undefined ? undefined : this.#pipeline.bytesOf(token);
  }

  tokenOf(id: number): string | undefined {
    return this.#addedById.get(id)?.content ?? this.#pipeline.tokenOf(id);
  }
}

/** Lone surrogates have no bytes; they become what an encoder of UTF-8 makes of them. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

function vocabSizeOf(where: string, json: JsonObject, added: readonly AddedToken[]): number {
  const model = json.model;
  const vocab = isJsonObject(model) ? model.vocab : undefined;
  // Unigram lists its vocabulary, the others map token to id.
  const ids: unknown[] = Array.isArray(vocab) ? [...vocab.keys()] : isJsonObject(vocab) ? Object.values(vocab) : [];
  if (ids.length === 0) throw new FormatError(`${where}: expected model.vocab and added_tokens`);
  let highest = -1;
  for (const id of [...ids, ...added.map((token) => token.id)]) {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= MAX_VOCAB) {
      throw new FormatError(`${where}: expected token ids from 0 to ${MAX_VOCAB - 1}, got ${show(id)}`);
    }
    highest = Math.max(highest, id);
  }
  return highest + 1;
}

/** Far above any vocabulary; the library makes a table as long as the highest id. */
const MAX_VOCAB = 1 << 24;
