/**
 * Walks forward through a little-endian binary header, loading the file piece by piece. Every step is checked
 * against the file's size first, so forged lengths end in a FormatError and not in a huge read. It knows no format.
 */
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../sources/byte-source.ts";
import { humanBytes } from "../util/math.ts";
import { shortText } from "../util/short-text.ts";

/**
 * Bytes loaded at a time, doubling from the first to the most: a small header costs little more than itself, one with a
 * large vocabulary a few round trips.
 */
const FIRST_PIECE_BYTES = 256 * 1024;
const MAX_PIECE_BYTES = 4 * 1024 * 1024;

export class HeaderCursor {
  private loaded = new Uint8Array(0);
  private view = new DataView(this.loaded.buffer);
  /** File offset of the first byte loaded, and the cursor's distance from it. */
  private loadedStart = 0;
  private at = 0;
  private pieceBytes = FIRST_PIECE_BYTES;
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  private readonly source: ByteSource;
  private readonly end: number;
  private readonly fileSize: number;
  private readonly signal: AbortSignal | undefined;

  /** @param maxBytes the header may not be longer than this. */
  constructor(source: ByteSource, fileSize: number, maxBytes: number, signal?: AbortSignal) {
    this.source = source;
    this.fileSize = fileSize;
    this.end = Math.min(fileSize, maxBytes);
    this.signal = signal;
  }

  /** Bytes from the start of the file to the cursor. */
  get offset(): number {
    return this.loadedStart + this.at;
  }

  /** Bytes left for the header. */
  get remaining(): number {
    return this.end - this.offset;
  }

  /** @throws FormatError saying where, what was expected and what came. */
  fail(expected: string, got: string | number | bigint, offset = this.offset): never {
    throw new FormatError(`${this.source.label}, byte ${offset}: expected ${expected}, got ${got}`);
  }

  /** Makes the next `length` bytes readable; the plain readers below need no more than was asked for here. */
  async need(length: number, what: string): Promise<void> {
    if (this.at + length <= this.loaded.length) return;
    if (length > this.remaining) this.failShort(length, what);
    const rest = this.loaded.subarray(this.at);
    const start = this.offset;
    const more = Math.min(Math.max(length, this.pieceBytes), this.remaining) - rest.length;
    const bytes = await this.source.read(start + rest.length, more, this.signal);
    const joined = new Uint8Array(rest.length + bytes.length);
    joined.set(rest);
    joined.set(bytes, rest.length);
    this.loaded = joined;
    this.view = new DataView(joined.buffer);
    this.loadedStart = start;
    this.at = 0;
    this.pieceBytes = Math.min(this.pieceBytes * 2, MAX_PIECE_BYTES);
  }

  private failShort(length: number, what: string): never {
    const limit = this.end < this.fileSize ? `${humanBytes(this.end)} that a header may take` : "end of the file";
    return this.fail(`${length} bytes for ${what}`, `${this.remaining} before the ${limit}`);
  }

  u8(): number {
    const value = this.view.getUint8(this.at);
    this.at += 1;
    return value;
  }

  i8(): number {
    const value = this.view.getInt8(this.at);
    this.at += 1;
    return value;
  }

  u16(): number {
    const value = this.view.getUint16(this.at, true);
    this.at += 2;
    return value;
  }

  i16(): number {
    const value = this.view.getInt16(this.at, true);
    this.at += 2;
    return value;
  }

  u32(): number {
    const value = this.view.getUint32(this.at, true);
    this.at += 4;
    return value;
  }

  i32(): number {
    const value = this.view.getInt32(this.at, true);
    this.at += 4;
    return value;
  }

  f32(): number {
    const value = this.view.getFloat32(this.at, true);
    this.at += 4;
    return value;
  }

  f64(): number {
    const value = this.view.getFloat64(this.at, true);
    this.at += 8;
    return value;
  }

  u64(): bigint {
    const value = this.view.getBigUint64(this.at, true);
    this.at += 8;
    return value;
  }

  i64(): bigint {
    const value = this.view.getBigInt64(this.at, true);
    this.at += 8;
    return value;
  }

  /** The next `length` bytes as UTF-8; malformed sequences become U+FFFD. */
  text(length: number): string {
    const bytes = this.loaded.subarray(this.at, this.at + length);
    this.at += length;
    return shortText(bytes) ?? this.decoder.decode(bytes);
  }
}
