/** What each id of a vocabulary spells, as bytes: a token may be a part of a character only. */
/** The bytes of id `i` end at `ends[i]` and begin where those of the id before end; special tokens have none. */
export interface TokenBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
}

/** @param vocabSize ids of the model, which may have more than its tokenizer. */
export function tokenBytes(tokenizer: { bytesOf(id: number): Uint8Array | undefined }, vocabSize: number): TokenBytes {
  const ends = new Uint32Array(vocabSize);
  let bytes = new Uint8Array(vocabSize * 8);
  let end = 0;
  for (let id = 0; id < vocabSize; id++) {
    const spelled = tokenizer.bytesOf(id);
    if (spelled) {
      if (end + spelled.length > bytes.length) {
        const larger = new Uint8Array(2 * (end + spelled.length));
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(spelled, end);
      end += spelled.length;
    }
    ends[id] = end;
  }
  return { bytes: bytes.slice(0, end), ends };
}

/** How GPT-2's vocabulary spells bytes: those that print as themselves, the others as what follows U+00FF. */
const BYTE_OF_CHAR = byteAlphabet();

function byteAlphabet(): ReadonlyMap<string, number> {
  const prints = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const alphabet = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 0x100; byte++) alphabet.set(String.fromCharCode(prints(byte) ? byte : next++), byte);
  return alphabet;
}

/** Bytes of a token of byte-level BPE; a character that is not of its alphabet stands for itself. */
export function alphabetBytes(token: string): Uint8Array {
  const encoder = new TextEncoder();
  return Uint8Array.from(Array.from(token, (char) => BYTE_OF_CHAR.get(char) ?? [...encoder.encode(char)]).flat());
}

/** The byte that a token of SentencePiece's fallback (`<0x0A>`) is. */
export function fallbackByte(token: string): number | undefined {
  const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return hex === undefined ? undefined : Number.parseInt(hex, 16);
}
