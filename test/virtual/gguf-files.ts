/** A blueprint as GGUF: one file, or the files of a split. Only the header is made before anything is read. */
import { BLOCKS } from "../../src/formats/dtype.ts";
import { splitName } from "../../src/sources/file-name.ts";
import { type GgufValue, makeGgufHeader } from "../fixtures/make-gguf.ts";
import type { Blueprint } from "./blueprint.ts";
import { composedFile, type RangeFile } from "./range-file.ts";
import { type TensorBytes, tensorLength, type VirtualTensor } from "./tensor-bytes.ts";

const ALIGNMENT = 32;

/**
 * The files by name: `NAME.gguf`, or with `shardBytes` as many as that takes.
 * @param metadata all of it, the vocabulary included; of a split the first file has it.
 */
export function ggufFiles(
  { name, tensors }: Blueprint,
  metadata: Readonly<Record<string, GgufValue>>,
  bytes: TensorBytes,
  shardBytes: number,
): Map<string, RangeFile> {
  const shards = cutIntoShards(tensors, shardBytes);
  if (shards.length === 1) return new Map([[`${name}.gguf`, ggufFile(tensors, metadata, bytes)]]);
  return new Map(
    shards.map((own, index) => {
      const split: Record<string, GgufValue> = {
        "split.no": { type: "u16", value: index },
        "split.count": { type: "u16", value: shards.length },
        "split.tensors.count": { type: "i32", value: tensors.length },
      };
      const file = ggufFile(own, index === 0 ? { ...metadata, ...split } : split, bytes);
      return [splitName(name, index + 1, shards.length), file];
    }),
  );
}

/** Runs of tensors of at most `shardBytes` each, but for a single tensor that is larger. */
export function cutIntoShards(tensors: readonly VirtualTensor[], shardBytes: number): VirtualTensor[][] {
  const shards: VirtualTensor[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const length = tensorLength(tensor);
    if (shards.length === 0 || length > room) {
      shards.push([]);
      room = shardBytes;
    }
    shards.at(-1)?.push(tensor);
    room -= length;
  }
  return shards;
}

function ggufFile(
  tensors: readonly VirtualTensor[],
  metadata: Readonly<Record<string, GgufValue>>,
  bytes: TensorBytes,
): RangeFile {
  checkRows(tensors);
  const sized = tensors.map((tensor) => ({ ...tensor, byteLength: tensorLength(tensor) }));
  const header = makeGgufHeader({ metadata, tensors: sized, alignment: ALIGNMENT });
  const pieces = sized.map((tensor, i) => ({
    start: header.tensorStarts[i] ?? 0,
    length: tensor.byteLength,
    fill: (offset: number, target: Uint8Array) => bytes.fill(tensor, offset, target),
  }));
  const last = pieces.at(-1);
  const end = last ? last.start + last.length : header.bytes.length;
  const head = {
    start: 0,
    length: header.bytes.length,
    fill: (offset: number, target: Uint8Array) => target.set(header.bytes.subarray(offset, offset + target.length)),
  };
  return composedFile(Math.ceil(end / ALIGNMENT) * ALIGNMENT, [head, ...pieces]);
}

/** A row that ends within a block would be a file that no reader takes. */
function checkRows(tensors: readonly VirtualTensor[]): void {
  for (const { name, dtype, shape } of tensors) {
    const cols = shape.at(-1) ?? 1;
    if (cols % BLOCKS[dtype].elements !== 0)
      throw new RangeError(`${name}: rows of ${cols} are no whole ${dtype} blocks`);
  }
}
