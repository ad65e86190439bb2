/** Finds the bytes of every expert of one layer in the tensor table, and checks that they are all of one kind. */
import { UnsupportedError } from "../errors.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import { type DType, storedBytes } from "../formats/dtype.ts";
import type { ExpertMatrix, TensorNames } from "../models/family.ts";
import type { MoeSpec } from "../models/spec.ts";
import { expertShape } from "./expected.ts";
import { type ExpertLayout, expertLayout, matrixLayout } from "./layout.ts";
import type { ByteRange } from "./ranges.ts";

/** Order of an expert's matrices in the layout. */
export const EXPERT_MATRICES = ["gate", "up", "down"] as const satisfies readonly ExpertMatrix[];

/** One layer's experts: the layout that all share, and where each one's matrices are stored. */
export interface ExpertTable {
  readonly layout: ExpertLayout;
  readonly numExperts: number;
  /** Stored ranges of an expert below `numExperts`, in the order of `EXPERT_MATRICES`. */
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
  const columns = EXPERT_MATRICES.map((matrix) => buildColumn(names, layer, moe, matrix, hiddenSize, lookUp));
  const [gate, up, down] = columns;
  if (!gate || !up || !down) return undefined;
  const layoutOf = (column: Column, matrix: ExpertMatrix) => {
    return matrixLayout(column.dtype, ...expertShape(moe, matrix, hiddenSize));
  };
  return {
    layout: expertLayout(layoutOf(gate, "gate"), layoutOf(up, "up"), layoutOf(down, "down")),
    numExperts: moe.numExperts,
    rangesOf: (expert) => [gate, up, down].map((column) => column.rangeOf(expert)),
  };
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
    ? stackedColumn(lookUp(places.name, [moe.numExperts, ...shape]), shape)
    : separateColumn(Array.from({ length: moe.numExperts }, (_, expert) => lookUp(places.nameOf(expert), shape)));
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
