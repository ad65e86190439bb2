/**
 * Turns a growing list of ids into pieces of text, each whole characters. Tokens may end in the middle of a UTF-8
 * sequence, so an unfinished character is held back until it is finished or turns out to be none.
 */

/** Decodes one continuation. The pieces joined are the text of all ids, as far as `flush` was called. */
export interface StreamDecoder {
  /** Text that `id` completed; may be empty. */
  push(id: number): string;
  /** What is still held back, U+FFFD for an unfinished character. Call it after the last id. */
  flush(): string;
}

/** What a decoder makes of bytes that are no character, an unfinished one at the end included. */
const REPLACEMENT = "\ufffd";
/** Ids decoded together grow to this many before the early ones are let go. */
const WINDOW_IDS = 32;
/**
 * Ids kept then: with at least one byte each they cover an unfinished character (up to 3 bytes) and what stands before
 * it, which decoders that treat the first token specially need.
 */
const CONTEXT_IDS = 5;

/**
 * @param decode text of a list of ids; may be called with any run of ids.
 * @param before ids that the continuation follows; their text is not given again.
 */
export function createStreamDecoder(
  decode: (ids: readonly number[]) => string,
  before: readonly number[] = [],
): StreamDecoder {
  const settledLength = (text: string): number => (text.endsWith(REPLACEMENT) ? text.length - 1 : text.length);

  let recent = before.slice(-CONTEXT_IDS);
  // Characters of the recent ids' text that were given out.
  let given = settledLength(decode(recent));

  const trim = (): void => {
    if (recent.length < WINDOW_IDS) return;
    recent = recent.slice(-CONTEXT_IDS);
    given = settledLength(decode(recent));
  };

  return {
    push: (id) => {
      recent.push(id);
      const text = decode(recent);
      const settled = settledLength(text);
      const piece = settled > given ? text.slice(given, settled) : "";
      given = Math.max(given, settled);
      trim();
      return piece;
    },
    flush: () => {
      const piece = decode(recent).slice(given);
      // The ids are let go: bytes that come now must not complete a character that was given up.
      recent = [];
      given = 0;
      return piece;
    },
  };
}
