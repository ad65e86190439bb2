/** Reads the header of one safetensors file: a length, then JSON that names type, shape and place of every tensor. */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../sources/byte-source.ts";
import { humanBytes, safeProduct } from "../util/math.ts";
import { show } from "../util/show.ts";
import { refuseHoles, refuseOverlaps } from "./placement.ts";
import { isJsonObject, parseJsonObject } from "./read-json.ts";
import type { RawDType, RawTensor } from "./separate-scales.ts";

/** The limit of the format's own reader. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
const MAX_DIMS = 8;
const BYTES: Readonly<Record<RawDType, number>> = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, U8: 1 };
const DTYPES = Object.keys(BYTES) as RawDType[];

/** The tensors of `source`, shard number `shard`. @throws FormatError, UnsupportedError, SourceError, `AbortError`. */
export async function readSafetensorsHeader(
  source: ByteSource,
  shard: number,
  signal?: AbortSignal,
): Promise<RawTensor[]> {
  const size = await source.size(signal);
  if (size < LENGTH_BYTES) {
    throw new FormatError(
      `${source.label}: expected the ${LENGTH_BYTES} bytes of a header length, got ${size} bytes in all`,
    );
  }
  const lengthBytes = await source.read(0, LENGTH_BYTES, signal);
  const headerLength = new DataView(lengthBytes.buffer).getBigUint64(0, true);
  const most = Math.min(MAX_HEADER_BYTES, size - LENGTH_BYTES);
  if (headerLength > BigInt(most)) {
    throw new FormatError(
      `${source.label}, byte 0: expected a header of at most ${most} bytes (the file has ${humanBytes(size)}), ` +
        `got ${headerLength}`,
    );
  }
  const headerBytes = await source.read(LENGTH_BYTES, Number(headerLength), signal);
  const header = parseJsonObject(`${source.label}, byte ${LENGTH_BYTES}`, headerBytes);
  const dataStart = LENGTH_BYTES + headerBytes.length;
  const tensors = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => readEntry(source.label, name, entry, shard, dataStart, size));
  refuseOverlaps(source.label, tensors);
  refuseHoles(source.label, tensors, dataStart, size);
  return tensors;
}

function readEntry(
  label: string,
  name: string,
  entry: unknown,
  shard: number,
  dataStart: number,
  size: number,
): RawTensor {
  const fail = (expected: string, got: unknown): never => {
    throw new FormatError(`${label}: tensor "${name}": expected ${expected}, got ${show(got)}`);
  };
  if (!isJsonObject(entry)) return fail("an object", entry);
  const dtype = dtypeOf(label, name, entry.dtype);
  const shape = naturals(entry.shape, MAX_DIMS) ?? fail(`a shape of at most ${MAX_DIMS} natural numbers`, entry.shape);
  const places = naturals(entry.data_offsets, 2);
  const [begin, end] = places ?? [];
  if (begin === undefined || end === undefined || end < begin) {
    return fail("data_offsets [begin, end], begin not after end", entry.data_offsets);
  }
  const numElements = safeProduct(shape) ?? fail("fewer than 2^53 elements", shape);
  const byteLength = BYTES[dtype] * numElements;
  if (end - begin !== byteLength) {
    return fail(`${byteLength} bytes for ${dtype} [${shape.join(", ")}]`, `${end - begin} by data_offsets`);
  }
  if (dataStart + end > size) {
    return fail(`bytes ${dataStart + begin} to ${dataStart + end} inside the file`, `a file of ${size} bytes`);
  }
  return { name, dtype, shape, shard, offset: dataStart + begin, byteLength };
}

function dtypeOf(label: string, name: string, value: unknown): RawDType {
  const dtype = DTYPES.find((known) => known === value);
  if (dtype) return dtype;
  if (typeof value !== "string") {
    throw new FormatError(`${label}: tensor "${name}": expected a dtype, got ${show(value)}`);
  }
  throw new UnsupportedError(
    `${label}: tensor "${name}" is stored as ${value.slice(0, 40)}; supported are ${DTYPES.join(", ")}`,
  );
}

function naturals(value: unknown, maxLength: number): number[] | undefined {
  if (!Array.isArray(value) || value.length > maxLength) return undefined;
  const list: readonly unknown[] = value;
  const numbers = list.filter((item): item is number => Number.isSafeInteger(item) && Number(item) >= 0);
  return numbers.length === list.length ? numbers : undefined;
}
