/** GGUF files, whole or split, as a checkpoint: opens the shards, and checks that every tensor lies where it can. */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ByteSource, FileSet } from "../sources/byte-source.ts";
import { parseSplitName, splitName } from "../sources/file-name.ts";
import { mapLimited } from "../util/limit.ts";
import { alignUp, safeProduct } from "../util/math.ts";
import { show } from "../util/show.ts";
import type { Checkpoint, TensorInfo } from "./checkpoint.ts";
import { BLOCKS, storedBytes } from "./dtype.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./gguf-header.ts";
import { DTYPES, dtypeName } from "./gguf-types.ts";
import { refuseOverlaps } from "./placement.ts";

const DEFAULT_ALIGNMENT = 32;
/** Far above any alignment in use; it keeps the start of the data near the header. */
const MAX_ALIGNMENT = 1024 * 1024;
/** A split of more shards than this is a forged name. */
const MAX_SHARDS = 1000;
const PARALLEL_SHARDS = 4;

/** One shard's header with what it was read from. */
interface Shard {
  readonly source: ByteSource;
  readonly size: number;
  readonly header: GgufHeader;
}

/**
 * Opens the GGUF file `entry` of `files`, and its other shards when its name is that of a split.
 * @throws FormatError, UnsupportedError, SourceError, `AbortError`.
 */
export async function openGguf(files: FileSet, entry: string, signal?: AbortSignal): Promise<Checkpoint> {
  const names = shardNames(files, entry);
  const shards = await mapLimited(names, PARALLEL_SHARDS, (name) => openShard(files, name, signal), signal);
  const metadata = shards[0]?.header.metadata ?? new Map<string, unknown>();
  checkSplitCount(files, metadata, shards.length);
  return {
    container: "gguf",
    // fromEntries defines own properties, so that a key such as "__proto__" stays a key.
    config: Object.fromEntries(metadata),
    tensors: tensorTable(shards),
    shards: shards.map((shard) => shard.source),
  };
}

function shardNames(files: FileSet, entry: string): string[] {
  const split = parseSplitName(entry);
  if (!split) return [entry];
  const { prefix, index, count } = split;
  if (index < 1 || index > count || count > MAX_SHARDS) {
    throw new FormatError(`${files.label}: expected a shard from 1 to ${count} (at most ${MAX_SHARDS}), got ${index}`);
  }
  return Array.from({ length: count }, (_, i) => (i + 1 === index ? entry : splitName(prefix, i + 1, count)));
}

async function openShard(files: FileSet, name: string, signal?: AbortSignal): Promise<Shard> {
  const source = await files.open(name, signal);
  if (!source) throw new FormatError(`${files.label}: shard "${name}" is missing; all shards of a split are needed`);
  const size = await source.size(signal);
  return { source, size, header: await readGgufHeader(source, size, signal) };
}

function checkSplitCount(files: FileSet, metadata: ReadonlyMap<string, unknown>, numShards: number): void {
  const count = metadata.get("split.count");
  // Writers put 0 or 1 into a file that is whole.
  if (count === undefined || count === numShards || (count === 0 && numShards === 1)) return;
  throw new FormatError(
    `${files.label}: the file says split.count ${show(count)}, got ${numShards} by its name; ` +
      "point at the first shard, named like model-00001-of-00002.gguf",
  );
}

function tensorTable(shards: readonly Shard[]): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  shards.forEach((shard, index) => {
    const dataStart = alignUp(shard.header.headerBytes, alignmentOf(shard));
    const own: TensorInfo[] = [];
    for (const tensor of shard.header.tensors) {
      if (tensors.has(tensor.name)) fail(shard, tensor, "every tensor name once", "it again");
      const info = placed(shard, index, tensor, dataStart);
      tensors.set(tensor.name, info);
      own.push(info);
    }
    refuseOverlaps(shard.source.label, own);
  });
  return tensors;
}

function alignmentOf(shard: Shard): number {
  const value = shard.header.metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const valid =
    typeof value === "number" &&
    Number.isInteger(value) &&
    value >= 1 &&
    value <= MAX_ALIGNMENT &&
    (value & (value - 1)) === 0;
  if (valid) return value;
  throw new FormatError(
    `${shard.source.label}: expected general.alignment to be a power of two up to ${MAX_ALIGNMENT}, ` +
      `got ${show(value)}`,
  );
}

/** The tensor with its absolute place, checked against the file. */
function placed(shard: Shard, index: number, tensor: GgufTensor, dataStart: number): TensorInfo {
  const dtype = DTYPES.get(tensor.type);
  if (!dtype) {
    throw new UnsupportedError(
      `${shard.source.label}: tensor "${tensor.name}" is stored as ${dtypeName(tensor.type)}; ` +
        `supported are ${[...DTYPES.values()].join(", ")}`,
    );
  }
  const numElements = safeProduct(tensor.dims);
  if (numElements === undefined) fail(shard, tensor, "fewer than 2^53 elements", tensor.dims.join(" x "));
  const rowLength = tensor.dims[0] ?? 1;
  if (rowLength % BLOCKS[dtype].elements !== 0) {
    fail(shard, tensor, `rows of whole ${dtype} blocks of ${BLOCKS[dtype].elements}`, `${rowLength} elements`);
  }
  const alignment = alignmentOf(shard);
  if (tensor.offset % alignment !== 0)
    fail(shard, tensor, `an offset that is a multiple of ${alignment}`, tensor.offset);
  const byteLength = storedBytes(dtype, numElements);
  const offset = dataStart + tensor.offset;
  if (!(offset + byteLength <= shard.size)) {
    fail(shard, tensor, `its ${byteLength} bytes at ${offset} to lie inside the file`, `a file of ${shard.size} bytes`);
  }
  return { name: tensor.name, dtype, shape: [...tensor.dims].reverse(), shard: index, offset, byteLength };
}

function fail(shard: Shard, tensor: GgufTensor, expected: string, got: string | number): never {
  throw new FormatError(
    `${shard.source.label}, byte ${tensor.entryOffset}: tensor "${tensor.name}": expected ${expected}, got ${got}`,
  );
}
