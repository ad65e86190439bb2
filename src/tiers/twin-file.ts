/**
 * A small record that survives a torn write: two files take turns, and the valid one with the higher number counts.
 * A file is: magic u32, number f64, length u32, SHA-256 of number and bytes, bytes.
 */
import type { StoreFile } from "./block-store.ts";
import { DIGEST_BYTES, digest, sameBytes } from "./digest.ts";

const MAGIC = 0x4f435456;
const NUMBER_AT = 4;
const LENGTH_AT = 12;
const DIGEST_AT = 16;
const HEAD_BYTES = DIGEST_AT + DIGEST_BYTES;
/** Far above any record kept in such a file; a forged length must not allocate. */
const MAX_RECORD_BYTES = 64 * 2 ** 20;

export interface TwinRecord {
  readonly number: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The record in the text of one file, or `undefined` when it is not whole. */
export async function parseTwin(file: Uint8Array<ArrayBuffer>): Promise<TwinRecord | undefined> {
  if (file.length < HEAD_BYTES) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = view.getUint32(LENGTH_AT, true);
  if (view.getUint32(0, true) !== MAGIC || length > file.length - HEAD_BYTES) return undefined;
  const number = view.getFloat64(NUMBER_AT, true);
  const bytes = file.slice(HEAD_BYTES, HEAD_BYTES + length);
  const stored = file.subarray(DIGEST_AT, HEAD_BYTES);
  return sameBytes(stored, await digestOf(number, bytes)) ? { number, bytes } : undefined;
}

/** The newer of two records. */
export function newerTwin(a: TwinRecord | undefined, b: TwinRecord | undefined): TwinRecord | undefined {
  return a && b ? (a.number > b.number ? a : b) : (a ?? b);
}

export class TwinFile {
  readonly #files: readonly [StoreFile, StoreFile];
  #number = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(files: readonly [StoreFile, StoreFile]) {
    this.#files = files;
  }

  /** What was saved last, or `undefined` when neither file is whole. */
  async load(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const [a, b] = await Promise.all(this.#files.map((file) => parseTwin(readWhole(file))));
    const newest = newerTwin(a, b);
    this.#number = newest?.number ?? 0;
    return newest?.bytes;
  }

  /** Replaces the record, durably, one save after another; when it fails the record before is still there. */
  save(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const saved = this.#saving.then(() => this.#save(bytes));
    this.#saving = saved.catch(() => {});
    return saved;
  }

  async #save(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const number = this.#number + 1;
    const text = new Uint8Array(HEAD_BYTES + bytes.length);
    const view = new DataView(text.buffer);
    view.setUint32(0, MAGIC, true);
    view.setFloat64(NUMBER_AT, number, true);
    view.setUint32(LENGTH_AT, bytes.length, true);
    text.set(await digestOf(number, bytes), DIGEST_AT);
    text.set(bytes, HEAD_BYTES);
    const file = this.#files[number % 2 === 0 ? 0 : 1];
    file.truncate(0);
    file.write(0, text);
    file.flush();
    this.#number = number;
  }
}

function digestOf(number: number, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const text = new Uint8Array(8 + bytes.length);
  new DataView(text.buffer).setFloat64(0, number, true);
  text.set(bytes, 8);
  return digest(text);
}

function readWhole(file: StoreFile): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.min(file.size(), HEAD_BYTES + MAX_RECORD_BYTES));
  return bytes.subarray(0, file.read(0, bytes));
}
