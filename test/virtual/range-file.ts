/** A file as a server or a source sees it: a size, and bytes by range. It may lie in memory or be made when read. */

export interface RangeFile {
  readonly size: number;
  /** `length` bytes from `offset`, which lie inside the file; the caller may keep and change them. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
}

/** `bytes` as a file. */
export function fileOf(bytes: Uint8Array): RangeFile {
  return { size: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length) };
}

/** A text as a file, in UTF-8. */
export function textFile(text: string): RangeFile {
  return fileOf(new TextEncoder().encode(text));
}

/** A stretch of a composed file that knows how to make its bytes. */
export interface Piece {
  readonly start: number;
  readonly length: number;
  /** Fills `target` with the piece's bytes from `offset` (within the piece) on. */
  fill(offset: number, target: Uint8Array): void;
}

/** A file of `pieces` in ascending order; what lies between them is zeros. */
export function composedFile(size: number, pieces: readonly Piece[]): RangeFile {
  return {
    size,
    read: (offset, length) => {
      const bytes = new Uint8Array(length);
      for (let i = firstEndingAfter(pieces, offset); i < pieces.length; i++) {
        const piece = pieces[i];
        if (!piece || piece.start >= offset + length) break;
        const from = Math.max(offset, piece.start);
        const to = Math.min(offset + length, piece.start + piece.length);
        piece.fill(from - piece.start, bytes.subarray(from - offset, to - offset));
      }
      return bytes;
    },
  };
}

/** Index of the first piece that ends after `offset`, by halving: a large model has tens of thousands. */
function firstEndingAfter(pieces: readonly Piece[], offset: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const piece = pieces[middle];
    if (piece && piece.start + piece.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
