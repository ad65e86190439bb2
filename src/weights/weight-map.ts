/**
 * From canonical names to bytes in the GPU layout: what the engine loads its dense weights from, and the pager its
 * experts. Everything that can be wrong with a tensor is found when the map is built; later only a read can fail.
 */
import { FormatError, UnsupportedError, UsageError } from "../errors.ts";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.ts";
import { BLOCKS, isPlain, type PlainDType } from "../formats/dtype.ts";
import type { TensorNames } from "../models/family.ts";
import type { ModelSpec } from "../models/spec.ts";
import { freeBytes } from "../util/owners.ts";
import { type ExpectedTensor, expectedDense, type Shape, type TensorRef } from "./expected.ts";
import { buildExpertTable, type ExpertTable, packExpert, type SlotLayout } from "./expert-table.ts";
import { type MatrixLayout, matrixLayout } from "./layout.ts";
import { packMatrix } from "./packing.ts";
import { type ByteRange, readRange, readRanges } from "./ranges.ts";
import { expandVector } from "./repack.ts";
import { checkSkipped, findSkipped } from "./skipped.ts";
import { type StoredMatrix, storedMatrix } from "./stored-matrix.ts";

export type { TensorRef } from "./expected.ts";
export { packExpert } from "./expert-table.ts";

/** Missing or misshapen tensors named in one error; more would bury the message. */
const MAX_PROBLEMS = 5;

export interface WeightMap {
  /** GPU bytes of everything but experts: matrices in the layout, vectors as float32. Tied embeddings count once. */
  readonly denseBytes: number;
  /** GPU bytes of all experts of the model in the layout of the slots. */
  readonly expertBytes: number;
  /** Every dense tensor: what `readMatrixRows` (two dimensions) or `readVector` (one) can be asked for. */
  readonly dense: readonly ExpectedTensor[];
  /** Layout of a whole matrix; `head` of tied embeddings is `embed`. @throws UsageError for vectors, unknown names. */
  matrix(ref: TensorRef): MatrixLayout;
  /**
   * Rows `rowStart` to `rowStart + rowCount`, in the layout of a matrix of just those rows (`words * 4` bytes).
   * @throws UsageError for `rowStart` that is no multiple of `rowAlignment(dtype)`.
   */
  readMatrixRows(
    ref: TensorRef,
    rowStart: number,
    rowCount: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>>;
  /** A norm's weights as floats: F32, F16 and BF16 storage are expanded exactly. */
  readVector(ref: TensorRef, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>>;
  /** Layout that all experts of `layer` share. @throws UsageError when the layer has none. */
  expertLayout(layer: number): SlotLayout;
  /** Where the parts of an expert are stored, in the order that `packExpert` takes them. @throws UsageError. */
  expertRanges(layer: number, expert: number): ByteRange[];
  /** One expert: exactly `expertLayout(layer).words * 4` bytes, its matrices at their word offsets. */
  readExpert(layer: number, expert: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Reads what layers left out of the spec would add. @throws UnsupportedError naming one that adds anything at all. */
  checkSkipped(signal?: AbortSignal): Promise<void>;
}

/** A dense tensor, found and checked. */
interface Entry extends ExpectedTensor {
  readonly tensor: TensorInfo;
  /** How to read it, if it is a matrix. */
  readonly stored: StoredMatrix | undefined;
}

/**
 * Checks that `checkpoint` has every tensor that `spec` needs, with the right shape and a storage type that works.
 * Reads no weights, so sizes can be previewed.
 * @throws FormatError naming up to five missing or misshapen tensors; UnsupportedError for storage that does not fit.
 */
export function createWeightMap(checkpoint: Checkpoint, spec: ModelSpec, names: TensorNames): WeightMap {
  const { entries, tables } = resolve(checkpoint, spec, names);
  const skipped = findSkipped(checkpoint, names);
  const dense = [...entries.values()].map(({ ref, shape }) => ({ ref, shape }));
  const find = (ref: TensorRef): Entry => {
    const entry = entries.get(keyOf(ref === "head" && spec.tiedEmbeddings ? "embed" : ref));
    if (entry) return entry;
    throw new UsageError(`This model has no tensor ${keyOf(ref)}`);
  };
  const tableOf = (layer: number): ExpertTable => {
    const table = tables.get(layer);
    if (table) return table;
    throw new UsageError(`Layer ${layer} has no experts`);
  };
  const rangesOf = (layer: number, expert: number): ByteRange[] => {
    const table = tableOf(layer);
    if (Number.isInteger(expert) && expert >= 0 && expert < table.numExperts) return table.rangesOf(expert);
    throw new UsageError(`Layer ${layer} has experts 0 to ${table.numExperts - 1}, not ${expert}`);
  };
  const matrix = (ref: TensorRef): StoredMatrix => {
    const { stored } = find(ref);
    if (!stored) throw new UsageError(`${keyOf(ref)} is a vector, not a matrix`);
    return stored;
  };

  return {
    dense,
    denseBytes: [...entries.values()].reduce((sum, entry) => sum + gpuBytes(entry), 0),
    expertBytes: [...tables.values()].reduce((sum, table) => sum + table.layout.words * 4 * table.numExperts, 0),
    matrix: (ref) => matrix(ref).layout,
    readMatrixRows: async (ref, rowStart, rowCount, signal) => {
      const { layout, packing, rangesOf } = matrix(ref);
      checkRows(keyOf(ref), layout.rows, rowStart, rowCount);
      const stored = await readRanges(checkpoint.shards, rangesOf(rowStart, rowCount), signal);
      const some = matrixLayout(layout.dtype, rowCount, layout.cols);
      const packed = new Uint8Array(some.words * 4);
      packMatrix(some, packing, stored, packed);
      for (const part of stored) freeBytes(part);
      return packed;
    },
    readVector: async (ref, signal) => {
      const { tensor, shape } = find(ref);
      if (shape.length !== 1) throw new UsageError(`${keyOf(ref)} is a matrix, not a vector`);
      const range = { shard: tensor.shard, offset: tensor.offset, length: tensor.byteLength };
      return expandVector(plainDtype(tensor), await readRange(checkpoint.shards, range, signal));
    },
    expertLayout: (layer) => tableOf(layer).layout,
    expertRanges: rangesOf,
    readExpert: async (layer, expert, signal) => {
      const ranges = rangesOf(layer, expert);
      const stored = await readRanges(checkpoint.shards, ranges, signal);
      const packed = packExpert(tableOf(layer).layout, stored);
      for (const part of stored) freeBytes(part);
      return packed;
    },
    checkSkipped: (signal) => checkSkipped(checkpoint, skipped, signal),
  };
}

/** Finds every needed tensor; collects what is wrong so that one error can name several. */
function resolve(
  checkpoint: Checkpoint,
  spec: ModelSpec,
  names: TensorNames,
): { entries: Map<string, Entry>; tables: Map<number, ExpertTable> } {
  const problems: string[] = [];
  const read = new Set<string>();
  const lookUp = (name: string, shape: readonly number[]): TensorInfo | undefined => {
    read.add(name);
    const tensor = checkpoint.tensors.get(name);
    const expected = `"${name}" [${shape.join(", ")}]`;
    if (!tensor) problems.push(`${expected}, got nothing`);
    else if (!sameShape(tensor.shape, shape)) problems.push(`${expected}, got [${tensor.shape.join(", ")}]`);
    else {
      checkStorage(tensor);
      return tensor;
    }
    return undefined;
  };
  const entries = new Map<string, Entry>();
  for (const { ref, shape, stacked } of expectedDense(spec)) {
    const name = typeof ref === "string" ? names.model(ref) : names.layer(ref.layer, ref.name);
    const half = typeof ref === "string" ? undefined : names.half?.(ref.name);
    const [rows, cols] = shape;
    const tensor = lookUp(
      name,
      half === undefined || cols === undefined ? storedShape(shape, stacked) : [2 * rows, cols],
    );
    const stored = tensor && cols !== undefined ? storedMatrix(tensor, rows, cols, { half }) : undefined;
    if (tensor) entries.set(keyOf(ref), { ref, shape, tensor, stored });
  }
  const tables = new Map<number, ExpertTable>();
  spec.layers.forEach(({ mlp }, layer) => {
    if (mlp?.kind !== "moe" || problems.length > MAX_PROBLEMS) return;
    const table = buildExpertTable(names, layer, mlp, spec.hiddenSize, lookUp);
    if (table) tables.set(layer, table);
  });
  if (problems.length > 0) throw new FormatError(describeProblems(checkpoint, problems));
  for (const { output } of names.skipped ?? []) read.add(output);
  refuseUnread(checkpoint, names, read, spec.architecture);
  return { entries, tables };
}

/** `shape`, or that of a tensor with `stacked` matrices that make one of `shape`. */
function storedShape([rows, cols]: Shape, stacked: number | undefined): readonly number[] {
  if (cols === undefined) return [rows];
  return stacked === undefined ? [rows, cols] : [stacked, rows / stacked, cols];
}

/** Equal, but for dimensions of one: a matrix of one row stored as a vector, taps of channels with a dimension between. */
function sameShape(stored: readonly number[], expected: readonly number[]): boolean {
  const long = (shape: readonly number[]): string => shape.filter((length) => length !== 1).join();
  return long(stored) === long(expected);
}

/** @throws UnsupportedError naming a tensor that the model has and the spec knows nothing of. */
function refuseUnread(
  { tensors }: Checkpoint,
  names: TensorNames,
  read: ReadonlySet<string>,
  architecture: string,
): void {
  const { ignores } = names;
  if (!ignores) return;
  const unread = [...tensors.keys()].find((name) => !read.has(name) && !ignores(name));
  if (unread === undefined) return;
  throw new UnsupportedError(`Tensor "${unread}": this part of a model is not supported in ${architecture}`);
}

function describeProblems(checkpoint: Checkpoint, problems: readonly string[]): string {
  const more = problems.length > MAX_PROBLEMS ? "; and more" : "";
  const label = checkpoint.shards[0]?.label ?? checkpoint.container;
  return `${label}: expected tensors ${problems.slice(0, MAX_PROBLEMS).join("; ")}${more}`;
}

/** @throws UnsupportedError for a vector in blocks, or rows that are not whole blocks. */
function checkStorage(tensor: TensorInfo): void {
  if (tensor.shape.length === 1) plainDtype(tensor);
  const cols = tensor.shape.at(-1) ?? 1;
  const { elements } = BLOCKS[tensor.dtype];
  if (cols % elements === 0) return;
  throw new UnsupportedError(
    `Tensor "${tensor.name}": expected rows of a multiple of ${elements} elements for ${tensor.dtype}, got ${cols}`,
  );
}

function plainDtype({ name, dtype }: TensorInfo): PlainDType {
  if (isPlain(dtype)) return dtype;
  throw new UnsupportedError(`Tensor "${name}": a vector stored as ${dtype} is not supported; use F32, F16 or BF16`);
}

function gpuBytes({ shape, stored }: Entry): number {
  return (stored ? stored.layout.words : shape[0]) * 4;
}

function checkRows(name: string, rows: number, rowStart: number, rowCount: number): void {
  const valid = Number.isSafeInteger(rowStart) && Number.isSafeInteger(rowCount) && rowStart >= 0 && rowCount >= 0;
  if (valid && rowStart + rowCount <= rows) return;
  throw new UsageError(`${name} has ${rows} rows; rows ${rowStart} to ${rowStart + rowCount} were asked for`);
}

function keyOf(ref: TensorRef): string {
  return typeof ref === "string" ? ref : `layers.${ref.layer}.${ref.name}`;
}
