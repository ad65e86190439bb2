/**
 * Tokens that are found in text as they are spelled, before anything else is done to it: markers of turns, of thoughts,
 * runs of spaces. Reads `added_tokens` of `tokenizer.json` and cuts text at them.
 */
import { FormatError } from "../errors.ts";
import { isJsonObject } from "../formats/read-json.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A mark of the model's own, which text from outside must not be able to write. */
  readonly special: boolean;
  /** Looked for in normalized text, not in the text as given. */
  readonly normalized: boolean;
  /** Takes the white space before it, or behind it, along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** A stretch of text, or a token that was found in it. */
export type Section = string | AddedToken;

/** Vocabularies in use have some thousand, of some dozen characters. More would be a forged file. */
const MAX_ADDED = 1 << 20;
const MAX_ADDED_LENGTH = 4096;
const MAX_ADDED_CHARACTERS = 1 << 24;

/** @throws FormatError that begins with `where`. */
export function readAddedTokens(where: string, value: unknown): AddedToken[] {
  if (!Array.isArray(value) || value.length > MAX_ADDED) {
    throw new FormatError(`${where}: expected at most ${MAX_ADDED} added_tokens, got ${describe(value)}`);
  }
  let characters = 0;
  const tokens = value.map((entry: unknown) => {
    const token = readAddedToken(where, entry);
    characters += token.content.length;
    return token;
  });
  if (characters <= MAX_ADDED_CHARACTERS) return tokens.filter(({ content }) => content !== "");
  throw new FormatError(
    `${where}: expected at most ${MAX_ADDED_CHARACTERS} characters of added tokens, got ${characters}`,
  );
}

function readAddedToken(where: string, entry: unknown): AddedToken {
  if (!isJsonObject(entry))
    throw new FormatError(`${where}: expected an object as added token, got ${describe(entry)}`);
  const { id, content, special } = entry;
  if (typeof content !== "string" || content.length > MAX_ADDED_LENGTH) {
    throw new FormatError(
      `${where}: expected an added token of at most ${MAX_ADDED_LENGTH} characters, got ${describe(content)}`,
    );
  }
  return {
    id: Number(id),
    content,
    special: special === true,
    normalized: entry.normalized === undefined ? special !== true : entry.normalized === true,
    lstrip: entry.lstrip === true,
    rstrip: entry.rstrip === true,
  };
}

function describe(value: unknown): string {
  if (typeof value === "string") return `${value.length} characters: ${JSON.stringify(value.slice(0, 40))}`;
  return Array.isArray(value) ? `${value.length} entries` : typeof value;
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | undefined;
}

/** Cuts text at the longest token that begins at each place, left to right. */
export class TokenFinder {
  readonly #root: Node = { next: new Map(), token: undefined };
  readonly #spellingOf: (token: AddedToken) => string;

  /** @param spellingOf how a token is written in the text that will be given. */
  constructor(tokens: readonly AddedToken[], spellingOf: (token: AddedToken) => string = ({ content }) => content) {
    this.#spellingOf = spellingOf;
    for (const token of tokens) this.#insert(spellingOf(token), token);
  }

  #insert(spelling: string, token: AddedToken): void {
    let node = this.#root;
    for (let i = 0; i < spelling.length; i++) {
      const unit = spelling.charCodeAt(i);
      const next = node.next.get(unit) ?? { next: new Map(), token: undefined };
      node.next.set(unit, next);
      node = next;
    }
    if (node !== this.#root) node.token ??= token;
  }

  /** The tokens and the stretches between them, none empty. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let start = 0;
    let at = 0;
    while (at < text.length) {
      const token = this.#longestAt(text, at);
      if (!token) {
        at += 1;
        continue;
      }
      const before = text.slice(start, at);
      pushText(sections, token.lstrip ? before.trimEnd() : before);
      sections.push(token);
      at += this.#spellingOf(token).length;
      if (token.rstrip) while (at < text.length && text.charAt(at).trim() === "") at += 1;
      start = at;
    }
    pushText(sections, text.slice(start));
    return sections;
  }

  #longestAt(text: string, start: number): AddedToken | undefined {
    let node: Node | undefined = this.#root.next.get(text.charCodeAt(start));
    let found: AddedToken | undefined;
    for (let at = start + 1; node; at++) {
      found = node.token ?? found;
      node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
    }
    return found;
  }
}

function pushText(sections: Section[], text: string): void {
  if (text !== "") sections.push(text);
}
