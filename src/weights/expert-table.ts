/** Finds the bytes of every expert of one layer in the tensor table, and checks that they are all of one kind. */
import { UnsupportedError } from "../errors.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import { isPlain, type PlainDType } from "../formats/dtype.ts";
import type { ExpertMatrix, ExpertPlaces, TensorNames } from "../models/family.ts";
import type { MoeSpec } from "../models/spec.ts";
import { alignUp } from "../util/math.ts";
import { expertMatrices, expertShape } from "./expected.ts";
import { type ExpertLayout, expertLayout } from "./layout.ts";
import { numParts, type Packing, packMatrix, packVector } from "./packing.ts";
import type { ByteRange } from "./ranges.ts";
import { type StoredMatrix, type StoredVector, storedMatrix, storedVector } from "./stored-matrix.ts";

/** An expert in its slot: its matrices, and behind them its biases as floats where the model has some. */
export interface SlotLayout extends ExpertLayout {
  /** Word where the biases of each matrix begin. */
  readonly biasWords?: Readonly<Partial<Record<ExpertMatrix, number>>>;
  /** How the stored parts are packed, where they are not whole rows and float biases: plain data, as all of a layout. */
  readonly packing?: SlotPacking;
}

/** Both in the order of the slot's matrices. */
export interface SlotPacking {
  readonly matrices: readonly Packing[];
  readonly biases: readonly (Packing & { readonly dtype: PlainDType })[];
}

/** One layer's experts: the layout that all share, and where each one's matrices are stored. */
export interface ExpertTable {
  readonly layout: SlotLayout;
  readonly numExperts: number;
  /** Stored ranges of an expert below `numExperts`: of its matrices in the order of the slot, then of its biases. */
  readonly rangesOf: (expert: number) => ByteRange[];
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
  const columns = new Map<ExpertMatrix, Column>();
  for (const matrix of expertMatrices(moe)) {
    const column = buildColumn(names, layer, moe, matrix, hiddenSize, lookUp);
    if (column) columns.set(matrix, column);
  }
  const [gate, up, down] = [columns.get("gate"), columns.get("up"), columns.get("down")];
  if (!up || !down || columns.size < expertMatrices(moe).length) return undefined;
  const matrices = expertLayout(gate ? gate(0).layout : null, up(0).layout, down(0).layout);
  const found = [...columns.values()];
  const biases = moe.expertBias ? biasColumns(names, layer, moe, hiddenSize, lookUp) : [];
  if (!biases) return undefined;
  const rangesOf = (expert: number): ByteRange[] => [
    ...found.flatMap((column) => column(expert).rangesOf(0, column(expert).layout.rows)),
    ...biases.map((bias) => bias.rangeOf(expert)),
  ];
  const layout = { ...(moe.expertBias ? withBiases(matrices) : matrices), ...packingOf(found, biases) };
  return { layout, numExperts: moe.numExperts, rangesOf };
}

/** What a slot's layout says of packing: nothing, where parts are whole rows and float biases. */
function packingOf(columns: readonly Column[], biases: readonly StoredVector[]): Pick<SlotLayout, "packing"> {
  const packing: SlotPacking = {
    matrices: columns.map((column) => column(0).packing),
    biases: biases.map(({ dtype, packing: own }) => ({ ...own, dtype })),
  };
  const isPlainRows = packing.matrices.every((own) => Object.keys(own).length === 0);
  return isPlainRows && packing.biases.every(({ dtype }) => dtype === "F32") ? {} : { packing };
}

/**
 * An expert as it lies in its slot, `layout.words * 4` bytes, out of its stored parts.
 * @param stored what the ranges of its table gave: of its matrices in the order of the slot, then of their biases.
 */
export function packExpert(layout: SlotLayout, stored: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const { biasWords, packing } = layout;
  const packed = new Uint8Array(layout.words * 4);
  const places = placesOf(layout);
  let taken = 0;
  places.forEach(({ matrix, word }, i) => {
    const own = packing?.matrices[i] ?? {};
    const parts = stored.slice(taken, taken + numParts(own));
    packMatrix(matrix, own, parts, packed.subarray(word * 4, (word + matrix.words) * 4));
    taken += numParts(own);
  });
  if (!biasWords) return packed;
  places.forEach(({ name }, i) => {
    const { dtype, ...own } = packing?.biases[i] ?? { dtype: "F32" as const };
    const values = packVector(dtype, own, stored[taken + i] ?? new Uint8Array(0));
    packed.set(new Uint8Array(values.buffer), (biasWords[name] ?? 0) * 4);
  });
  return packed;
}

/** The matrices of a slot in their order, and the words where they begin. */
function placesOf({ gate, up, down, gateWord, upWord, downWord }: ExpertLayout) {
  const places = [
    { name: "up", matrix: up, word: upWord },
    { name: "down", matrix: down, word: downWord },
  ] as const;
  return gate ? [{ name: "gate", matrix: gate, word: gateWord } as const, ...places] : places;
}

/** `layout` with its biases behind the matrices, each from a whole 16-byte unit on. */
function withBiases(layout: ExpertLayout): SlotLayout {
  const biasWords: Partial<Record<ExpertMatrix, number>> = {};
  let words = layout.words;
  for (const { name, matrix } of placesOf(layout)) {
    biasWords[name] = words;
    words += alignUp(matrix.rows, 4);
  }
  return { ...layout, biasWords, words };
}

/** Biases of every matrix, in the order of the slot. @throws UnsupportedError unless they are stacked, plain. */
function biasColumns(
  names: TensorNames,
  layer: number,
  moe: MoeSpec,
  hiddenSize: number,
  lookUp: LookUp,
): StoredVector[] | undefined {
  const matrices = expertMatrices(moe);
  const columns = matrices.map((matrix) => {
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
  const otherScales = tensors.find(({ scales }) => kindOf(scales) !== kindOf(first.scales));
  if (otherScales) refuseMixed(first, otherScales);
  return (expert) => storedMatrix(tensors[expert] ?? first, rows, cols);
}

/** What the packing depends on. */
function kindOf(scales: TensorInfo["scales"]): string {
  return scales ? `${scales.dtype} ${scales.shape.join()}` : "";
}

function refuseMixed(first: TensorInfo, other: TensorInfo): never {
  throw new UnsupportedError(
    `Experts of one layer must share a storage type: "${first.name}" is ${first.dtype}, "${other.name}" ${other.dtype}` +
      (first.dtype === other.dtype ? `, scaled by ${kindOf(first.scales)} and by ${kindOf(other.scales)}` : ""),
  );
}
