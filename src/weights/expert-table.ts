/** Finds the bytes of every expert of one layer in the tensor table, and checks that they are all of one kind. */
import { UnsupportedError } from "../errors.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import { type DType, storedBytes } from "../formats/dtype.ts";
import type { ExpertMatrix, ExpertPlace, TensorNames } from "../models/family.ts";
import type { MoeSpec } from "../models/spec.ts";
import { expertShape } from "./expected.ts";
import { type ExpertLayout, expertLayout, matrixLayout } from "./layout.ts";
import type { ByteRange } from "./ranges.ts";

/** Order of an expert's matrices in the layout. */
export const EXPERT_MATRICES = ["gate", "up", "down"] as const satisfies readonly ExpertMatrix[];

/** One layer's experts: the layout that all share, and where each one's gate, up and down are stored. */
export interface ExpertTable {
  readonly layout: ExpertLayout;
  /** Per expert: stored ranges in the order of `EXPERT_MATRICES`. */
  readonly ranges: readonly (readonly ByteRange[])[];
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
    ranges: gate.ranges.map((range, expert) => [range, up.ranges[expert], down.ranges[expert]].filter(isRange)),
  };
}

const isRange = (range: ByteRange | undefined): range is ByteRange => range !== undefined;

/** The same matrix of every expert of a layer. */
interface Column {
  readonly dtype: DType;
  readonly ranges: readonly ByteRange[];
}

function buildColumn(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  matrix: ExpertMatrix,
  hiddenSize: number,
  lookUp: LookUp,
): Column | undefined {
  const shape = expertShape(moe, matrix, hiddenSize);
  const found = new Map<string, TensorInfo | undefined>();
  const tensorOf = (place: ExpertPlace): TensorInfo | undefined => {
    if (found.has(place.name)) return found.get(place.name);
    const tensor = lookUp(place.name, place.kind === "stacked" ? [moe.numExperts, ...shape] : shape);
    found.set(place.name, tensor);
    return tensor;
  };
  const ranges: ByteRange[] = [];
  let first: TensorInfo | undefined;
  for (let expert = 0; expert < moe.numExperts; expert++) {
    const place = names.expert(layer, expert, matrix);
    const tensor = tensorOf(place);
    if (!tensor) continue;
    first ??= tensor;
    if (tensor.dtype !== first.dtype) refuseMixed(first, tensor);
    const length = storedBytes(tensor.dtype, shape[0] * shape[1]);
    const start = place.kind === "stacked" ? place.index * length : 0;
    ranges.push({ shard: tensor.shard, offset: tensor.offset + start, length });
  }
  return first && ranges.length === moe.numExperts ? { dtype: first.dtype, ranges } : undefined;
}

function refuseMixed(first: TensorInfo, other: TensorInfo): never {
  throw new UnsupportedError(
    `Experts of one layer must share a storage type: "${first.name}" is ${first.dtype}, "${other.name}" ${other.dtype}`,
  );
}
