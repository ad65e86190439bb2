/** Finds the bytes of every expert of one layer in the tensor table, and checks that they are all of one kind. */
import { UnsupportedError } from "../errors.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import { type DType, storedBytes } from "../formats/dtype.ts";
import type { ExpertMatrix, ExpertPlaces, TensorNames } from "../models/family.ts";
import type { MoeSpec } from "../models/spec.ts";
import { alignUp } from "../util/math.ts";
import { expertMatrices, expertShape } from "./expected.ts";
import { type ExpertLayout, expertLayout, type MatrixLayout, matrixLayout } from "./layout.ts";
import type { ByteRange } from "./ranges.ts";

/** An expert in its slot: its matrices, and behind them its biases as floats where the model has some. */
export interface SlotLayout extends ExpertLayout {
  /** Word where the biases of each matrix begin. */
  readonly biasWords?: Readonly<Partial<Record<ExpertMatrix, number>>>;
}

/** One layer's experts: the layout that all share, and where each one's matrices are stored. */
export interface ExpertTable {
  readonly layout: SlotLayout;
  readonly numExperts: number;
  /** The matrices that its experts have, in the order of their slots. */
  readonly matrices: readonly ExpertMatrix[];
  /** Stored ranges of an expert below `numExperts`, in the order of `matrices`; then those of its biases. */
  readonly rangesOf: (expert: number) => ByteRange[];
}

/** Reports a needed tensor that is missing or misshapen, and gives `undefined` then. */
export type LookUp = (name: string, shape: readonly number[]) => TensorInfo | undefined;

/**
 * The table of `layer`, or `undefined` when `lookUp` found something missing.
 * @throws UnsupportedError when experts of the layer differ in storage type.
 */
export function buildExpertTable(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  hiddenSize: number,
  lookUp: LookUp,
): ExpertTable | undefined {
  const matrices = expertMatrices(moe);
  const columns = matrices.map((matrix) => buildColumn(names, layer, moe, matrix, hiddenSize, lookUp));
  const found = columns.filter((column) => column !== undefined);
  if (found.length < matrices.length) return undefined;
  const layoutOf = (matrix: ExpertMatrix): MatrixLayout => {
    const column = columns[matrices.indexOf(matrix)];
    if (!column) throw new RangeError(`experts without ${matrix}`);
    return matrixLayout(column.dtype, ...expertShape(moe, matrix, hiddenSize));
  };
  const gate = matrices.includes("gate") ? layoutOf("gate") : null;
  const layout = expertLayout(gate, layoutOf("up"), layoutOf("down"));
  const { numExperts } = moe;
  if (!moe.expertBias) {
    return { layout, numExperts, matrices, rangesOf: (expert) => found.map(({ rangeOf }) => rangeOf(expert)) };
  }
  const biases = matrices.map((matrix) => biasColumn(names, layer, moe, matrix, hiddenSize, lookUp));
  const stored = [...found, ...biases.filter((column) => column !== undefined)];
  if (stored.length < 2 * found.length) return undefined;
  return {
    layout: withBiases(layout, matrices),
    numExperts,
    matrices,
    rangesOf: (expert) => stored.map(({ rangeOf }) => rangeOf(expert)),
  };
}

/** `layout` with its biases behind the matrices, each from a whole 16-byte unit on. */
function withBiases(layout: ExpertLayout, matrices: readonly ExpertMatrix[]): SlotLayout {
  const biasWords: Partial<Record<ExpertMatrix, number>> = {};
  let words = layout.words;
  for (const matrix of matrices) {
    biasWords[matrix] = words;
    words += alignUp(layout[matrix]?.rows ?? 0, 4);
  }
  return { ...layout, biasWords, words };
}

/** Biases of one matrix of every expert. @throws UnsupportedError unless they are stacked and stored as F32. */
function biasColumn(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  matrix: ExpertMatrix,
  hiddenSize: number,
  lookUp: LookUp,
): Column | undefined {
  const places = names.experts(layer, matrix);
  const [rows] = expertShape(moe, matrix, hiddenSize);
  if (places.kind !== "stacked" || places.biasName === undefined) {
    throw new UnsupportedError(`Layer ${layer}: biases of experts in tensors of their own are not supported.`);
  }
  const tensor = lookUp(places.biasName, [moe.numExperts, rows]);
  if (tensor && tensor.dtype !== "F32") {
    throw new UnsupportedError(`Tensor "${tensor.name}": biases of experts stored as ${tensor.dtype}; use F32`);
  }
  return stackedColumn(tensor, [1, rows]);
}

/** The same matrix of every expert of a layer. */
interface Column {
  readonly dtype: DType;
  readonly rangeOf: (expert: number) => ByteRange;
}

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
    ? stackedPart(places, moe.numExperts, shape, lookUp)
    : separateColumn(Array.from({ length: moe.numExperts }, (_, expert) => lookUp(places.nameOf(expert), shape)));
}

function stackedPart(
  { name, half }: Extract<ExpertPlaces, { kind: "stacked" }>,
  numExperts: number,
  shape: readonly [number, number],
  lookUp: LookUp,
): Column | undefined {
  if (half === undefined) return stackedColumn(lookUp(name, [numExperts, ...shape]), shape);
  const [rows, cols] = shape;
  const both = stackedColumn(lookUp(name, [numExperts, 2 * rows, cols]), [2 * rows, cols]);
  if (!both) return undefined;
  const rangeOf = (expert: number): ByteRange => {
    const { shard, offset, length } = both.rangeOf(expert);
    return { shard, offset: half === "first" ? offset : offset + length / 2, length: length / 2 };
  };
  return { dtype: both.dtype, rangeOf };
}

function stackedColumn(tensor: TensorInfo | undefined, shape: readonly [number, number]): Column | undefined {
  if (!tensor) return undefined;
  const length = storedBytes(tensor.dtype, shape[0] * shape[1]);
  return {
    dtype: tensor.dtype,
    rangeOf: (expert) => ({ shard: tensor.shard, offset: tensor.offset + expert * length, length }),
  };
}

function separateColumn(found: readonly (TensorInfo | undefined)[]): Column | undefined {
  const tensors = found.filter((tensor) => tensor !== undefined);
  const first = tensors[0];
  if (!first || tensors.length < found.length) return undefined;
  const other = tensors.find(({ dtype }) => dtype !== first.dtype);
  if (other) refuseMixed(first, other);
  return {
    dtype: first.dtype,
    rangeOf: (expert) => {
      const { shard, offset, byteLength } = tensors[expert] ?? first;
      return { shard, offset, length: byteLength };
    },
  };
}

function refuseMixed(first: TensorInfo, other: TensorInfo): never {
  throw new UnsupportedError(
    `Experts of one layer must share a storage type: "${first.name}" is ${first.dtype}, "${other.name}" ${other.dtype}`,
  );
}
