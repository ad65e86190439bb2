/**
 * Reads the header of one GGUF file (versions 2 and 3, little-endian): metadata and the raw tensor table. Placement of
 * tensors in the file is checked by `gguf.ts`.
 *
 * Why not @huggingface/gguf, which the tests hold this reader against: it fills what lies past the end of a file with
 * zeros and parses on, so a truncated header can pass; it cuts, without a word, a string that straddles one of its
 * 2 MB chunks when nothing read after it in the same value runs out; and it stops at headers of 50 MB.
 */
import { UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../sources/byte-source.ts";
import { ARRAY_TYPE, SCALAR_BYTES, STRING_TYPE } from "./gguf-types.ts";
import { HeaderCursor } from "./header-cursor.ts";

/** Longest header: vocabularies of a quarter million tokens with merges take about 10 MB. */
const MAX_HEADER_BYTES = 128 * 1024 * 1024;
/** Array elements of the whole header. They cost more in memory than in the file, so bytes alone do not bound them. */
const MAX_ELEMENTS = 8 * 1024 * 1024;
/** Keys and names: the format allows 65535 bytes. */
const MAX_NAME_BYTES = 65535;
/** One text: chat templates take some tens of KB, embedded vocabularies of other kinds a few MB. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;
const MAX_DIMS = 4;
/** Least bytes of a metadata entry and of a tensor entry; they turn the file's size into a bound on the counts. */
const MIN_ENTRY_BYTES = 8 + 4 + 1;
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;
const MAGIC = 0x46554747; // "GGUF"

/** A tensor as the header describes it, nothing checked but ranges of numbers. */
export interface GgufTensor {
  readonly name: string;
  /** As stored: innermost dimension first. */
  readonly dims: readonly number[];
  /** ggml's number of the storage type. */
  readonly type: number;
  /** Relative to the start of the tensor data. */
  readonly offset: number;
  /** Where in the file this entry starts, for messages. */
  readonly entryOffset: number;
}

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: readonly GgufTensor[];
  /** Bytes from the start of the file to the end of the tensor table. */
  readonly headerBytes: number;
}

/** @throws FormatError, UnsupportedError, SourceError, `AbortError`. */
export async function readGgufHeader(source: ByteSource, size: number, signal?: AbortSignal): Promise<GgufHeader> {
  const cursor = new HeaderCursor(source, size, MAX_HEADER_BYTES, signal);
  await cursor.need(24, "magic, version and counts of a GGUF file");
  readVersion(cursor, source.label);
  const numTensors = readCount(cursor, "tensors", MIN_TENSOR_BYTES);
  const numEntries = readCount(cursor, "metadata entries", MIN_ENTRY_BYTES);
  const metadata = await readMetadata(cursor, source.label, numEntries);
  const tensors: GgufTensor[] = [];
  for (let i = 0; i < numTensors; i++) tensors.push(await readTensor(cursor));
  return { metadata, tensors, headerBytes: cursor.offset };
}

function readVersion(cursor: HeaderCursor, label: string): void {
  const magic = cursor.u32();
  if (magic !== MAGIC) cursor.fail('the magic "GGUF"', `0x${magic.toString(16).padStart(8, "0")}`, 0);
  const version = cursor.u32();
  if (version === 2 || version === 3) return;
  if (version === 0x02000000 || version === 0x03000000) {
    throw new UnsupportedError(`${label}: big-endian GGUF is not supported, convert the file to little-endian`);
  }
  if (version === 1) throw new UnsupportedError(`${label}: GGUF version 1 is not supported (2 and 3 are)`);
  cursor.fail("GGUF version 2 or 3", version, 4);
}

/** A count of things that take at least `minBytes` each in the rest of the header. */
function readCount(cursor: HeaderCursor, what: string, minBytes: number): number {
  const at = cursor.offset;
  const count = cursor.u64();
  const most = Math.floor(cursor.remaining / minBytes);
  if (count > BigInt(most))
    cursor.fail(`at most ${most} ${what} (as many as the rest of the file can hold)`, count, at);
  return Number(count);
}

async function readString(cursor: HeaderCursor, what: string, maxBytes: number): Promise<string> {
  await cursor.need(8, `the length of ${what}`);
  const at = cursor.offset;
  const length = cursor.u64();
  const most = Math.min(maxBytes, cursor.remaining);
  if (length > BigInt(most)) cursor.fail(`at most ${most} bytes for ${what}`, length, at);
  await cursor.need(Number(length), what);
  return cursor.text(Number(length));
}

async function readMetadata(cursor: HeaderCursor, label: string, numEntries: number): Promise<Map<string, unknown>> {
  const metadata = new Map<string, unknown>();
  let elementsLeft = MAX_ELEMENTS;
  for (let i = 0; i < numEntries; i++) {
    const at = cursor.offset;
    const key = await readString(cursor, "a metadata key", MAX_NAME_BYTES);
    if (metadata.has(key)) cursor.fail("every metadata key once", `"${key}" again`, at);
    await cursor.need(4, `the type of "${key}"`);
    const type = cursor.u32();
    const value = await readValue(cursor, label, key, type, elementsLeft);
    if (Array.isArray(value)) elementsLeft -= value.length;
    metadata.set(key, value);
  }
  return metadata;
}

async function readValue(
  cursor: HeaderCursor,
  label: string,
  key: string,
  type: number,
  elementsLeft: number,
): Promise<unknown> {
  if (type === STRING_TYPE) return readString(cursor, `the value of "${key}"`, MAX_TEXT_BYTES);
  if (type === ARRAY_TYPE) return readArray(cursor, label, key, elementsLeft);
  const bytes = SCALAR_BYTES.get(type);
  if (bytes === undefined) cursor.fail(`a value type from 0 to 12 for "${key}"`, type, cursor.offset - 4);
  await cursor.need(bytes, `the value of "${key}"`);
  return readScalar(cursor, type);
}

async function readArray(cursor: HeaderCursor, label: string, key: string, elementsLeft: number): Promise<unknown[]> {
  await cursor.need(12, `type and length of the array "${key}"`);
  const type = cursor.u32();
  if (type === ARRAY_TYPE)
    throw new UnsupportedError(`${label}: "${key}" is an array of arrays, which is not supported`);
  const bytes = type === STRING_TYPE ? 8 : SCALAR_BYTES.get(type);
  if (bytes === undefined) cursor.fail(`an element type from 0 to 12 for "${key}"`, type, cursor.offset - 4);
  const at = cursor.offset;
  const count = readCount(cursor, `elements of "${key}"`, bytes);
  if (count > elementsLeft) cursor.fail(`at most ${MAX_ELEMENTS} array elements in a header`, count, at);
  const values: unknown[] = [];
  if (type === STRING_TYPE) {
    for (let i = 0; i < count; i++) values.push(await readString(cursor, `an element of "${key}"`, MAX_TEXT_BYTES));
    return values;
  }
  await cursor.need(count * bytes, `the elements of "${key}"`);
  for (let i = 0; i < count; i++) values.push(readScalar(cursor, type));
  return values;
}

function readScalar(cursor: HeaderCursor, type: number): number | boolean | bigint {
  switch (type) {
    case 0:
      return cursor.u8();
    case 1:
      return cursor.i8();
    case 2:
      return cursor.u16();
    case 3:
      return cursor.i16();
    case 4:
      return cursor.u32();
    case 5:
      return cursor.i32();
    case 6:
      return cursor.f32();
    case 7:
      return cursor.u8() !== 0;
    case 10:
      return numberIfSafe(cursor.u64());
    case 11:
      return numberIfSafe(cursor.i64());
    default:
      return cursor.f64();
  }
}

function numberIfSafe(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

async function readTensor(cursor: HeaderCursor): Promise<GgufTensor> {
  const entryOffset = cursor.offset;
  const name = await readString(cursor, "a tensor name", MAX_NAME_BYTES);
  await cursor.need(4, `the number of dimensions of "${name}"`);
  const numDims = cursor.u32();
  if (numDims < 1 || numDims > MAX_DIMS)
    cursor.fail(`1 to ${MAX_DIMS} dimensions of "${name}"`, numDims, cursor.offset - 4);
  await cursor.need(numDims * 8 + 12, `shape, type and offset of "${name}"`);
  const dims: number[] = [];
  for (let i = 0; i < numDims; i++) dims.push(readSize(cursor, `a dimension of "${name}"`, 1));
  const type = cursor.u32();
  return { name, dims, type, offset: readSize(cursor, `the offset of "${name}"`, 0), entryOffset };
}

function readSize(cursor: HeaderCursor, what: string, least: number): number {
  const at = cursor.offset;
  const value = cursor.u64();
  if (value < BigInt(least) || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    cursor.fail(`${least} to ${Number.MAX_SAFE_INTEGER} for ${what}`, value, at);
  }
  return Number(value);
}
