/**
 * A matrix where a checkpoint keeps it: alone, or one of several in a stack, or half of the rows of one of these; with
 * its scales beside or apart; row by row or column by column. Says what to read for its rows, and how to pack that.
 */
import { UnsupportedError, UsageError } from "../errors.ts";
import type { ScaleTable, TensorInfo } from "../formats/checkpoint.ts";
import { BLOCKS, isPlain, isScaled, type PlainDType, storedBytes } from "../formats/dtype.ts";
import type { Half } from "../models/family.ts";
import { type MatrixLayout, matrixLayout, rowAlignment } from "./layout.ts";
import type { Packing } from "./packing.ts";
import type { ByteRange } from "./ranges.ts";

export interface StoredMatrix {
  readonly layout: MatrixLayout;
  readonly packing: Packing;
  /**
   * What to read for rows `rowStart` to `rowStart + rowCount`: one range for each part.
   * @throws UsageError for an FP8 matrix from a row that does not begin a tile.
   */
  rangesOf(rowStart: number, rowCount: number): ByteRange[];
}

/** Which part of a tensor a matrix is. */
export interface MatrixPart {
  /** Number of the matrix in the stack; 0 where there is none. */
  readonly index?: number;
  readonly half?: Half | undefined;
  /** Stored column by column: [cols, rows] of every matrix of the stack. */
  readonly transposed?: boolean | undefined;
}

/**
 * The `rows` x `cols` matrix that `part` of `tensor` is. Where it is a half, the tensor has twice the rows.
 * @throws UnsupportedError for FP8 whose tiles the part would cut, or any type but plain ones column by column.
 */
export function storedMatrix(tensor: TensorInfo, rows: number, cols: number, part: MatrixPart = {}): StoredMatrix {
  const { dtype, shard, offset, scales } = tensor;
  const { index = 0, half, transposed = false } = part;
  const stack = stackOf(rows, index, half);
  refuseCuts(tensor, stack, transposed);
  const layout = matrixLayout(dtype, rows, cols);
  if (transposed) {
    const length = cols * stack.rows * BLOCKS[dtype].bytes;
    const { first, step } = stack;
    return {
      layout,
      packing: { columns: { length: stack.rows, first, step } },
      rangesOf: () => [{ shard, offset: offset + index * length, length }],
    };
  }
  const rowBytes = dtype === "MXFP4" && scales ? cols / 2 : storedBytes(dtype, cols);
  const codes = lineRange(tensor, rowBytes, stack);
  if (!scales) {
    return { layout, packing: everySecond(stack), rangesOf: (rowStart, rowCount) => [codes(rowStart, rowCount)] };
  }
  const table = scaleRange(tensor, scales, stack);
  return {
    layout,
    packing: { ...everySecond(stack), scales: { dtype: scales.dtype, isOne: isOne(scales) } },
    rangesOf: (rowStart, rowCount) => [codes(rowStart, rowCount), table(rowStart, rowCount)],
  };
}

/** Where the vectors of a stack are, one for each matrix. */
export interface StoredVector {
  readonly dtype: PlainDType;
  readonly packing: Packing;
  rangeOf(index: number): ByteRange;
}

/** Vectors of `size` elements in `tensor` [stack, size], or [stack, 2 size] where they are halves. */
export function storedVector(tensor: TensorInfo, dtype: PlainDType, size: number, half?: Half): StoredVector {
  return {
    dtype,
    packing: everySecond(stackOf(size, 0, half)),
    rangeOf: (index) => lineRange(tensor, BLOCKS[dtype].bytes, stackOf(size, index, half))(0, size),
  };
}

/** A matrix among the rows of a stack: every `step`-th from `first` of the `rows` of number `index`. */
interface Stack {
  readonly index: number;
  readonly rows: number;
  readonly first: number;
  readonly step: 1 | 2;
}

function stackOf(rows: number, index: number, half: Half | undefined): Stack {
  switch (half) {
    case undefined:
      return { index, rows, first: 0, step: 1 };
    case "first":
      return { index, rows: 2 * rows, first: 0, step: 1 };
    case "second":
      return { index, rows: 2 * rows, first: rows, step: 1 };
    case "even":
      return { index, rows: 2 * rows, first: 0, step: 2 };
    case "odd":
      return { index, rows: 2 * rows, first: 1, step: 2 };
  }
}

function everySecond({ first, step }: Stack): Packing {
  return step === 1 ? {} : { everySecond: first === 0 ? 0 : 1 };
}

type RangeOf = (rowStart: number, rowCount: number) => ByteRange;

/** The range of rows of `lineBytes` each from `place` on, with those between them. */
function lineRange(
  { shard, offset }: { readonly shard: number; readonly offset: number },
  lineBytes: number,
  { index, rows, first, step }: Stack,
): RangeOf {
  const start = offset + (index * rows + (step === 1 ? first : 0)) * lineBytes;
  return (rowStart, rowCount) => {
    return { shard, offset: start + step * rowStart * lineBytes, length: step * rowCount * lineBytes };
  };
}

/** The same in the table of scales, whose lines belong to single rows, to the rows of a tile, or to all of a matrix. */
function scaleRange({ name, dtype }: TensorInfo, scales: ScaleTable, stack: Stack): RangeOf {
  const [, tableRows, tableCols] = scales.shape;
  const bytes = scales.dtype === "E8M0" ? 1 : BLOCKS[scales.dtype].bytes;
  if (isOne(scales)) {
    const offset = scales.offset + stack.index * bytes;
    return () => ({ shard: scales.shard, offset, length: bytes });
  }
  const rowsPerLine = rowAlignment(dtype);
  const first = stack.step === 1 ? stack.first / rowsPerLine : stack.first;
  const range = lineRange(scales, tableCols * bytes, { ...stack, rows: tableRows, first });
  return (rowStart, rowCount) => {
    if (rowStart % rowsPerLine !== 0) {
      throw new UsageError(`"${name}" can be read from every ${rowsPerLine}th row; row ${rowStart} was asked for`);
    }
    return range(rowStart / rowsPerLine, Math.ceil(rowCount / rowsPerLine));
  };
}

function isOne({ shape: [, rows, cols] }: ScaleTable): boolean {
  return rows === 1 && cols === 1;
}

/** @throws UnsupportedError */
function refuseCuts({ name, dtype, scales }: TensorInfo, { first, step }: Stack, transposed: boolean): void {
  const refuse = (what: string): never => {
    throw new UnsupportedError(`Tensor "${name}": ${what} stored as ${dtype} is not supported`);
  };
  if (transposed && !isPlain(dtype)) refuse("a matrix column by column");
  if (!isScaled(dtype) || !scales || isOne(scales)) return;
  if (step === 2 && dtype === "F8_E4M3") refuse("a matrix of every second row");
  if (first % rowAlignment(dtype) !== 0) refuse(`a half from row ${first}, which is inside a tile,`);
}
