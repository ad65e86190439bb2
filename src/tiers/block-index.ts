/**
 * The index of the disk cache: entries of fixed size, each with a check of its own, appended only after what they speak
 * of is flushed. A torn or foreign entry is skipped; at worst its block is missing. Two files take turns: rewriting
 * fills the other one and then gives it a head, so that a crash leaves one of them whole.
 *
 * An entry, little-endian: kind u16, file u16, length u32, offset f64, place f64, group u32, region bytes u32, region
 * start f64, SHA-256 of the block, check u32 over all that, seeded with the number of the file's head.
 */
import type { StoreFile } from "./block-store.ts";
import { DIGEST_BYTES } from "./digest.ts";

const ENTRY_BYTES = 40 + DIGEST_BYTES + 4;
const CHECK_AT = ENTRY_BYTES - 4;

/** A block of a model's file that lies in the data file. */
export interface BlockEntry {
  /** Number of the file in the model, and where in it the block begins. */
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  /** Where in the data file it is. */
  readonly place: number;
  /** Expert that it belongs to, from 1; 0 for what is not an expert. */
  readonly group: number;
  /** Stretch of the data file that all blocks of the group share. */
  readonly regionStart: number;
  readonly regionBytes: number;
  readonly sha256: Uint8Array<ArrayBuffer>;
}

/** What happened to the cache, in order. */
export type IndexEvent =
  | { readonly kind: "block"; readonly block: BlockEntry }
  | { readonly kind: "forget block"; readonly file: number; readonly offset: number; readonly group: number }
  | { readonly kind: "forget group"; readonly group: number };

const KINDS = { head: 1, block: 2, "forget block": 3, "forget group": 4 } as const;
const EMPTY_DIGEST = new Uint8Array(DIGEST_BYTES);

export class BlockIndex {
  readonly #files: readonly [StoreFile, StoreFile];
  #number: number;
  #end: number;

  private constructor(files: readonly [StoreFile, StoreFile], number: number, end: number) {
    this.#files = files;
    this.#number = number;
    this.#end = end;
  }

  /** Reads what is there; an empty index where nothing is. */
  static open(files: readonly [StoreFile, StoreFile]): { index: BlockIndex; events: IndexEvent[] } {
    const texts = files.map(readWhole);
    const numbers = texts.map(headNumber);
    const number = Math.max(...numbers);
    const text = texts[number % 2];
    if (number < 1 || numbers[number % 2] !== number || !text) {
      const index = new BlockIndex(files, Math.max(0, number), 0);
      index.rewrite([]);
      return { index, events: [] };
    }
    const events: IndexEvent[] = [];
    for (let at = ENTRY_BYTES; at + ENTRY_BYTES <= text.length; at += ENTRY_BYTES) {
      const event = parseEntry(text.subarray(at, at + ENTRY_BYTES), number);
      if (event) events.push(event);
    }
    // A torn entry at the end keeps its place, so that the next ones are aligned.
    return { index: new BlockIndex(files, number, Math.ceil(text.length / ENTRY_BYTES) * ENTRY_BYTES), events };
  }

  /** Entries written, valid or not. */
  get numEntries(): number {
    return this.#end / ENTRY_BYTES - 1;
  }

  /** Adds entries, durably. What they speak of must have been flushed. */
  append(events: readonly IndexEvent[]): void {
    const file = this.#active();
    file.write(this.#end, encodeAll(events, this.#number));
    this.#end += events.length * ENTRY_BYTES;
    file.flush();
  }

  /** Replaces all entries. */
  rewrite(events: readonly IndexEvent[]): void {
    const number = this.#number + 1;
    const file = this.#files[number % 2 === 0 ? 0 : 1];
    file.truncate(0);
    file.flush(); // no head, before entries come
    if (events.length > 0) file.write(ENTRY_BYTES, encodeAll(events, number));
    file.flush(); // all entries, before the head that makes them count
    file.write(0, encode(KINDS.head, { offset: number }, 0));
    file.flush();
    this.#number = number;
    this.#end = (1 + events.length) * ENTRY_BYTES;
  }

  #active(): StoreFile {
    return this.#files[this.#number % 2 === 0 ? 0 : 1];
  }
}

function encodeAll(events: readonly IndexEvent[], number: number): Uint8Array<ArrayBuffer> {
  const text = new Uint8Array(events.length * ENTRY_BYTES);
  events.forEach((event, i) => {
    const fields = event.kind === "block" ? event.block : event;
    text.set(encode(KINDS[event.kind], fields, number), i * ENTRY_BYTES);
  });
  return text;
}

function encode(kind: number, fields: Partial<BlockEntry>, seed: number): Uint8Array<ArrayBuffer> {
  const text = new Uint8Array(ENTRY_BYTES);
  const view = new DataView(text.buffer);
  view.setUint16(0, kind, true);
  view.setUint16(2, fields.file ?? 0, true);
  view.setUint32(4, fields.length ?? 0, true);
  view.setFloat64(8, fields.offset ?? 0, true);
  view.setFloat64(16, fields.place ?? 0, true);
  view.setUint32(24, fields.group ?? 0, true);
  view.setUint32(28, fields.regionBytes ?? 0, true);
  view.setFloat64(32, fields.regionStart ?? 0, true);
  text.set(fields.sha256 ?? EMPTY_DIGEST, 40);
  view.setUint32(CHECK_AT, checkOf(text, seed), true);
  return text;
}

function parseEntry(text: Uint8Array<ArrayBuffer>, seed: number): IndexEvent | undefined {
  const view = new DataView(text.buffer, text.byteOffset, ENTRY_BYTES);
  if (view.getUint32(CHECK_AT, true) !== checkOf(text, seed)) return undefined;
  const file = view.getUint16(2, true);
  const offset = view.getFloat64(8, true);
  const group = view.getUint32(24, true);
  switch (view.getUint16(0, true)) {
    case KINDS["forget block"]:
      return { kind: "forget block", file, offset, group };
    case KINDS["forget group"]:
      return { kind: "forget group", group };
    case KINDS.block:
      return {
        kind: "block",
        block: {
          file,
          offset,
          group,
          length: view.getUint32(4, true),
          place: view.getFloat64(16, true),
          regionBytes: view.getUint32(28, true),
          regionStart: view.getFloat64(32, true),
          sha256: text.slice(40, CHECK_AT),
        },
      };
    default:
      return undefined;
  }
}

/** Number of the head at the start of a file; 0 when there is no sound one. */
function headNumber(text: Uint8Array<ArrayBuffer>): number {
  if (text.length < ENTRY_BYTES) return 0;
  const view = new DataView(text.buffer, text.byteOffset, ENTRY_BYTES);
  const sound = view.getUint16(0, true) === KINDS.head && view.getUint32(CHECK_AT, true) === checkOf(text, 0);
  return sound ? view.getFloat64(8, true) : 0;
}

/** FNV-1a over the entry without its check: it tells torn writes, not malice; blocks have SHA-256 for what matters. */
function checkOf(text: Uint8Array, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < CHECK_AT; i++) hash = Math.imul(hash ^ (text[i] ?? 0), 0x01000193);
  return hash >>> 0;
}

function readWhole(file: StoreFile): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(file.size());
  return bytes.subarray(0, file.read(0, bytes));
}
