/**
 * From what was read of a matrix, or of biases, to the layout: which of the lines are its own, whether they are rows, and
 * where the scales are. A `Packing` is plain data, so that whoever reads may pack, in a worker of its own too.
 */
import type { ScaleTable } from "../formats/checkpoint.ts";
import { BLOCKS, isScaled, type PlainDType, storedBytes } from "../formats/dtype.ts";
import { type MatrixLayout, scaleCount } from "./layout.ts";
import { expandVector, placeScales, repackMxfp4, repackRows } from "./repack.ts";

/** Lines of a matrix among those that were read: every `step`-th from `first` on. */
export interface Lines {
  readonly first: number;
  readonly step: 1 | 2;
}

/** How the stored parts of a matrix become rows; whole rows with their scales, if any, inside when all is absent. */
export interface Packing {
  /** Of the rows read, and of the lines of scales, the first or second of every two. */
  readonly everySecond?: 0 | 1;
  /** Stored column by column, `length` elements each, of which these are the matrix's. */
  readonly columns?: Lines & { readonly length: number };
  /** Scales are a second part: in that type, one for the whole matrix or a table of them. */
  readonly scales?: { readonly dtype: ScaleTable["dtype"]; readonly isOne: boolean };
}

/** Stored parts of a matrix: its codes, and its scales where they are apart. */
export function numParts({ scales }: Packing): 1 | 2 {
  return scales ? 2 : 1;
}

/**
 * Puts the stored parts of a matrix of `layout` into `target`: `layout.words * 4` bytes, all zero before.
 * @param parts as many as `numParts` says.
 */
export function packMatrix(
  layout: MatrixLayout,
  packing: Packing,
  [codes = EMPTY, scales = EMPTY]: readonly Uint8Array[],
  target: Uint8Array<ArrayBuffer>,
): void {
  const { dtype, rows, cols } = layout;
  const isMxfp4 = dtype === "MXFP4" && packing.scales !== undefined;
  const own = ownRows(codes, isMxfp4 ? cols / 2 : storedBytes(dtype, cols), layout, packing);
  if (isMxfp4) {
    repackMxfp4(own, ownRows(scales, cols / BLOCKS.MXFP4.elements, layout, packing), target);
    return;
  }
  repackRows(dtype, own, rows, cols, target);
  if (packing.scales) placeScales(layout, expandScales(layout, packing.scales, scales), target);
}

/** Biases as floats out of what was read of them. */
export function packVector(dtype: PlainDType, { everySecond }: Packing, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  return expandVector(dtype, everySecond === undefined ? bytes : pick(bytes, BLOCKS[dtype].bytes, everySecond));
}

const EMPTY = new Uint8Array(0);

function ownRows(bytes: Uint8Array, lineBytes: number, layout: MatrixLayout, packing: Packing): Uint8Array {
  const { everySecond, columns } = packing;
  if (columns) return turned(bytes, BLOCKS[layout.dtype].bytes, layout, columns);
  return everySecond === undefined ? bytes : pick(bytes, lineBytes, everySecond);
}

/** Every second of the lines of `bytes`, from line `first`. */
function pick(bytes: Uint8Array, lineBytes: number, first: 0 | 1): Uint8Array {
  const out = new Uint8Array(bytes.length / 2);
  for (let to = 0, from = first * lineBytes; to < out.length; to += lineBytes, from += 2 * lineBytes) {
    out.set(bytes.subarray(from, from + lineBytes), to);
  }
  return out;
}

/** Rows out of columns of `length` elements of `unit` bytes. */
function turned(
  bytes: Uint8Array,
  unit: number,
  { rows, cols }: MatrixLayout,
  { length, first, step }: NonNullable<Packing["columns"]>,
): Uint8Array {
  const out = new Uint8Array(rows * cols * unit);
  for (let row = 0, to = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const from = (col * length + first + row * step) * unit;
      for (let byte = 0; byte < unit; byte++) out[to++] = bytes[from + byte] ?? 0;
    }
  }
  return out;
}

/** The scales of an FP8 matrix in the order of their plane; one for all is repeated. */
function expandScales(
  { dtype, rows, cols }: MatrixLayout,
  scales: NonNullable<Packing["scales"]>,
  bytes: Uint8Array,
): Float32Array {
  if (scales.dtype === "E8M0" || !isScaled(dtype)) return new Float32Array(0);
  const values = expandVector(scales.dtype, bytes);
  return scales.isOne ? new Float32Array(scaleCount(dtype, rows, cols)).fill(values[0] ?? 0) : values;
}
