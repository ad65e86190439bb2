/** Finds the bytes of every expert of one layer in the tensor table, and checks that they are all of one kind. */
import { UnsupportedError } from "../errors.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import { isPlain } from "../formats/dtype.ts";
import type { ExpertMatrix, ExpertPlaces, TensorNames } from "../models/family.ts";
import type { MoeSpec } from "../models/spec.ts";
import { alignUp } from "../util/math.ts";
import { expertShape } from "./expected.ts";
import { type ExpertLayout, expertLayout } from "./layout.ts";
import type { ByteRange } from "./ranges.ts";
import { type StoredMatrix, type StoredVector, storedMatrix, storedVector } from "./stored-matrix.ts";

/** Order of an expert's matrices in the layout. */
export const EXPERT_MATRICES = ["gate", "up", "down"] as const satisfies readonly ExpertMatrix[];

/** An expert in its slot: its matrices, and behind them its biases as floats where the model has some. */
export interface SlotLayout extends ExpertLayout {
  /** Word where the biases of gate, up and down begin. */
  readonly biasWords?: Readonly<Record<ExpertMatrix, number>>;
}

/** One layer's experts: the layout that all share, and where each one's matrices are stored. */
export interface ExpertTable {
  readonly layout: SlotLayout;
  readonly numExperts: number;
  /** Stored ranges of an expert below `numExperts`: of its matrices in the order of `EXPERT_MATRICES`, then its biases. */
  readonly rangesOf: (expert: number) => ByteRange[];
  /** What those ranges of `expert` gave, as it lies in its slot: `layout.words * 4` bytes. */
  readonly pack: (expert: number, stored: readonly Uint8Array[]) => Uint8Array<ArrayBuffer>;
}

/** Reports a needed tensor that is missing or misshapen, and gives `undefined` then. */
export type LookUp = (name: string, shape: readonly number[]) => TensorInfo | undefined;

/**
 * The table of `layer`, or `undefined` when `lookUp` found something missing.
 * @throws UnsupportedError when experts of the layer differ in storage type, or are stored as their place forbids.
 */
export function buildExpertTable(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  hiddenSize: number,
  lookUp: LookUp,
): ExpertTable | undefined {
  const [gate, up, down] = EXPERT_MATRICES.map((matrix) => buildColumn(names, layer, moe, matrix, hiddenSize, lookUp));
  if (!gate || !up || !down) return undefined;
  const matrices = expertLayout(gate(0).layout, up(0).layout, down(0).layout);
  const columns = [gate, up, down];
  const biases = moe.expertBias ? biasColumns(names, layer, moe, hiddenSize, lookUp) : [];
  if (!biases) return undefined;
  const layout = moe.expertBias ? withBiases(matrices) : matrices;
  const rangesOf = (expert: number): ByteRange[] => [
    ...columns.flatMap((column) => column(expert).rangesOf(0, column(expert).layout.rows)),
    ...biases.map((bias) => bias.range(expert)),
  ];
  const pack = (expert: number, stored: readonly Uint8Array[]) => {
    return packExpert(
      layout,
      columns.map((column) => column(expert)),
      biases,
      stored,
    );
  };
  return { layout, numExperts: moe.numExperts, rangesOf, pack };
}

/** Places gate, up and down at their word offsets, and their biases. `stored` is what `rangesOf` lists. */
function packExpert(
  layout: SlotLayout,
  matrices: readonly StoredMatrix[],
  biases: readonly StoredVector[],
  stored: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(layout.words * 4);
  let taken = 0;
  const take = (count: number): readonly Uint8Array[] => {
    taken += count;
    return stored.slice(taken - count, taken);
  };
  const firstWords = [layout.gateWord, layout.upWord, layout.downWord];
  matrices.forEach(({ layout: { rows, words }, rangesOf, pack }, i) => {
    const start = (firstWords[i] ?? 0) * 4;
    pack(take(rangesOf(0, rows).length), rows, packed.subarray(start, start + words * 4));
  });
  const { biasWords } = layout;
  biases.forEach((bias, i) => {
    const name = EXPERT_MATRICES[i];
    const [bytes = new Uint8Array(0)] = take(1);
    if (biasWords && name) packed.set(new Uint8Array(bias.read(bytes).buffer), biasWords[name] * 4);
  });
  return packed;
}

/** `layout` with its biases behind the matrices, each from a whole 16-byte unit on. */
function withBiases(layout: ExpertLayout): SlotLayout {
  const up = layout.words + alignUp(layout.gate.rows, 4);
  const down = up + alignUp(layout.up.rows, 4);
  return { ...layout, biasWords: { gate: layout.words, up, down }, words: down + alignUp(layout.down.rows, 4) };
}

/** Biases of every matrix, in the order of `EXPERT_MATRICES`. @throws UnsupportedError unless they are stacked, plain. */
function biasColumns(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  hiddenSize: number,
  lookUp: LookUp,
): StoredVector[] | undefined {
  const columns = EXPERT_MATRICES.map((matrix) => {
    const places = names.experts(layer, matrix);
    const [rows] = expertShape(moe, matrix, hiddenSize);
    if (places.kind !== "stacked" || places.biasName === undefined) {
      throw new UnsupportedError(`Layer ${layer}: biases of experts in tensors of their own are not supported.`);
    }
    const tensor = lookUp(places.biasName, [moe.numExperts, places.half === undefined ? rows : 2 * rows]);
    if (!tensor) return undefined;
    if (isPlain(tensor.dtype)) return storedVector(tensor, tensor.dtype, rows, places.half);
    throw new UnsupportedError(`Tensor "${tensor.name}": biases of experts stored as ${tensor.dtype}; use F32 or BF16`);
  });
  const found = columns.filter((column) => column !== undefined);
  return found.length === columns.length ? found : undefined;
}

/** The same matrix of every expert of a layer. */
type Column = (expert: number) => StoredMatrix;

function buildColumn(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  matrix: ExpertMatrix,
  hiddenSize: number,
  lookUp: LookUp,
): Column | undefined {
  const places = names.experts(layer, matrix);
  const shape = expertShape(moe, matrix, hiddenSize);
  return places.kind === "stacked"
    ? stackedColumn(places, moe.numExperts, shape, lookUp)
    : separateColumn(
        Array.from({ length: moe.numExperts }, (_, expert) => lookUp(places.nameOf(expert), shape)),
        shape,
      );
}

function stackedColumn(
  { name, half, transposed }: Extract<ExpertPlaces, { kind: "stacked" }>,
  numExperts: number,
  [rows, cols]: readonly [number, number],
  lookUp: LookUp,
): Column | undefined {
  const stackRows = half === undefined ? rows : 2 * rows;
  const tensor = lookUp(name, transposed ? [numExperts, cols, stackRows] : [numExperts, stackRows, cols]);
  return tensor && ((index) => storedMatrix(tensor, rows, cols, { index, half, transposed }));
}

function separateColumn(
  found: readonly (TensorInfo | undefined)[],
  [rows, cols]: readonly [number, number],
): Column | undefined {
  const tensors = found.filter((tensor) => tensor !== undefined);
  const first = tensors[0];
  if (!first || tensors.length < found.length) return undefined;
  const other = tensors.find(({ dtype }) => dtype !== first.dtype);
  if (other) refuseMixed(first, other);
  return (expert) => storedMatrix(tensors[expert] ?? first, rows, cols);
}

function refuseMixed(first: TensorInfo, other: TensorInfo): never {
  throw new UnsupportedError(
    `Experts of one layer must share a storage type: "${first.name}" is ${first.dtype}, "${other.name}" ${other.dtype}`,
  );
}
