/**
 * A byte-level BPE vocabulary of any size that no text was read for: the 256 bytes, then tokens that each join two earlier
 * ones, English-looking pairs of letters first. It turns text into ids and back like a real one of its size, and costs as
 * many header bytes. Ids past it are laid out as o200k_base has them: the last but 19 ends a text, the last a prompt.
 */
import { mix } from "./hash.ts";

export interface Vocabulary {
  readonly tokens: readonly string[];
  /** ggml's types: 1 normal, 3 control, 5 unused. */
  readonly types: readonly number[];
  /** "left right", in order of priority. */
  readonly merges: readonly string[];
  readonly endOfText: number;
}

const NORMAL = 1;
const CONTROL = 3;
const UNUSED = 5;
/** o200k_base: 199999 ends a text, 200018 a prompt, those between are free. */
const NUM_SPECIAL = 20;
const SMALLEST = 256 + NUM_SPECIAL;
/** Longest token in bytes. */
const MAX_LETTERS = 14;
/** Letters as often as English has them, and a space before a word. */
const LETTERS = "eeeeeeeetttttaaaaooooiiiinnnnsssshhhrrrddllccuummwwffggyyppbbvk";

/** @throws RangeError below 276 tokens. */
export function makeVocabulary(size: number): Vocabulary {
  if (size < SMALLEST) throw new RangeError(`a vocabulary has at least ${SMALLEST} tokens, not ${size}`);
  const tokens = byteTokens();
  const merges = addMerges(tokens, size - NUM_SPECIAL);
  const types = tokens.map(() => NORMAL);
  const endOfText = tokens.push("<|endoftext|>") - 1;
  while (tokens.length < size - 1) tokens.push(`<|unused_${tokens.length}|>`);
  tokens.push("<|endofprompt|>");
  for (let id = endOfText; id < size; id++) types.push(id === endOfText || id === size - 1 ? CONTROL : UNUSED);
  return { tokens, types, merges, endOfText };
}

/** The 256 bytes in GPT-2's spelling: printable ones as they are, the others from U+0100 on. */
function byteTokens(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** Appends tokens up to `size`; returns their merges. Short joins come first, as merges learnt from text do. */
function addMerges(tokens: string[], size: number): string[] {
  const known = new Set(tokens);
  const merges: string[] = [];
  const letters: string[] = [];
  for (let draw = 0; tokens.length < size; draw++) {
    const left = pick(letters, mix(draw, 1), true);
    const right = pick(letters, mix(draw, 2), false);
    const joined = left + right;
    if (joined.length > MAX_LETTERS || known.has(joined)) continue;
    known.add(joined);
    merges.push(`${left} ${right}`);
    tokens.push(joined);
    letters.push(joined);
  }
  return merges;
}

/** A letter, or one of the tokens made so far, early ones more often; only what stands first may begin a word. */
function pick(made: readonly string[], bits: number, first: boolean): string {
  const letter = LETTERS.charAt(bits % LETTERS.length);
  const isMade = made.length > 0 && ((bits >>> 8) & 3) !== 0;
  const share = ((bits >>> 10) & 0xffff) / 2 ** 16;
  const chosen = isMade ? made[Math.floor(share * share * made.length)] : undefined;
  if (chosen !== undefined && (first || !chosen.startsWith("\u0120"))) return chosen;
  return first && (bits >>> 26) % 4 === 0 ? "\u0120" : letter;
}
