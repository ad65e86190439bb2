/**
 * A matrix where a checkpoint keeps it: alone, or one of several in a stack, or half of the rows of one of these; with
 * its scales beside or apart; row by row or column by column. Ranges go out, bytes come in, rows in the layout leave.
 */
import { UnsupportedError, UsageError } from "../errors.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import { BLOCKS, type DType, isPlain, isScaled, type PlainDType, storedBytes } from "../formats/dtype.ts";
import type { Half } from "../models/family.ts";
import { type MatrixLayout, matrixLayout, rowAlignment, scaleCount } from "./layout.ts";
import type { ByteRange } from "./ranges.ts";
import { expandVector, placeScales, repackMxfp4, repackRows } from "./repack.ts";

export interface StoredMatrix {
  readonly layout: MatrixLayout;
  /**
   * What to read for rows `rowStart` to `rowStart + rowCount` of the matrix: one range, or two where scales are apart.
   * @throws UsageError for an FP8 matrix from a row that does not begin a tile.
   */
  rangesOf(rowStart: number, rowCount: number): ByteRange[];
  /** Puts what those ranges gave into `target`, the layout of a matrix of `rowCount` rows, all zero before. */
  pack(stored: readonly Uint8Array[], rowCount: number, target: Uint8Array<ArrayBuffer>): void;
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
 * @throws UnsupportedError for FP8 whose tiles the part would cut, or another type in blocks column by column.
 */
export function storedMatrix(tensor: TensorInfo, rows: number, cols: number, part: MatrixPart = {}): StoredMatrix {
  const { dtype, scales } = tensor;
  const { index = 0, half, transposed = false } = part;
  const stackRows = half === undefined ? rows : 2 * rows;
  const step = half === "even" || half === "odd" ? 2 : 1;
  const first = half === "second" ? rows : half === "odd" ? 1 : 0;
  refuseCuts(tensor, first, step, transposed);
  const lines = { matrix: index, stackRows, first, step } as const;
  const rowBytes = dtype === "MXFP4" && scales ? cols / 2 : storedBytes(dtype, cols);
  if (transposed) return transposedMatrix(tensor, rows, cols, lines);
  const codes = linesOf(tensor, rowBytes, lines);
  const table = scales && scaleLines(tensor, lines);
  return {
    layout: matrixLayout(dtype, rows, cols),
    rangesOf: (rowStart, rowCount) => {
      if (!table) return [codes.range(rowStart, rowCount)];
      return [codes.range(rowStart, rowCount), table.range(rowStart, rowCount)];
    },
    pack: ([codeBytes = EMPTY, scaleBytes = EMPTY], rowCount, target) => {
      const own = codes.pick(codeBytes);
      if (!table) repackRows(dtype, own, rowCount, cols, target);
      else if (dtype === "MXFP4") repackMxfp4(own, table.pick(scaleBytes), target);
      else {
        repackRows(dtype, own, rowCount, cols, target);
        const layout = matrixLayout(dtype, rowCount, cols);
        placeScales(layout, expandScales(tensor, layout, scaleBytes), target);
      }
    },
  };
}

const EMPTY = new Uint8Array(0);

/** Rows of a matrix among those of a stack: every `step`-th from `first` of its `stackRows`. */
interface Lines {
  readonly matrix: number;
  readonly stackRows: number;
  readonly first: number;
  readonly step: 1 | 2;
}

/** Ranges of rows of `lineBytes` each, and the own rows among what such a range gives. */
interface LineReader {
  range(rowStart: number, rowCount: number): ByteRange;
  pick(bytes: Uint8Array): Uint8Array;
}

interface Place {
  readonly shard: number;
  readonly offset: number;
}

function linesOf({ shard, offset }: Place, lineBytes: number, { matrix, stackRows, first, step }: Lines): LineReader {
  const start = offset + matrix * stackRows * lineBytes;
  if (step === 1) {
    return {
      range: (rowStart, rowCount) => {
        return { shard, offset: start + (first + rowStart) * lineBytes, length: rowCount * lineBytes };
      },
      pick: (bytes) => bytes,
    };
  }
  return {
    range: (rowStart, rowCount) => {
      return { shard, offset: start + 2 * rowStart * lineBytes, length: 2 * rowCount * lineBytes };
    },
    pick: (bytes) => everySecond(bytes, lineBytes, first),
  };
}

/** Every second of the lines of `bytes`, from line `first`. */
function everySecond(bytes: Uint8Array, lineBytes: number, first: number): Uint8Array {
  const out = new Uint8Array(bytes.length / 2);
  for (let to = 0, from = first * lineBytes; to < out.length; to += lineBytes, from += 2 * lineBytes) {
    out.set(bytes.subarray(from, from + lineBytes), to);
  }
  return out;
}

/** The table of scales, whose lines belong to single rows, to the rows of a tile, or to the whole matrix. */
function scaleLines({ name, dtype, scales }: TensorInfo, lines: Lines): LineReader | undefined {
  if (!scales) return undefined;
  const [, tableRows, tableCols] = scales.shape;
  const bytes = scales.dtype === "E8M0" ? 1 : BLOCKS[scales.dtype].bytes;
  if (isOneScale(scales.shape)) {
    const offset = scales.offset + lines.matrix * bytes;
    return { range: () => ({ shard: scales.shard, offset, length: bytes }), pick: (all) => all };
  }
  const rowsPerLine = rowAlignment(dtype);
  const table = linesOf(scales, tableCols * bytes, {
    ...lines,
    stackRows: tableRows,
    first: lines.first / (lines.step === 1 ? rowsPerLine : 1),
  });
  return {
    pick: table.pick,
    range: (rowStart, rowCount) => {
      if (rowStart % rowsPerLine !== 0) {
        throw new UsageError(`"${name}" can be read from every ${rowsPerLine}th row; row ${rowStart} was asked for`);
      }
      return table.range(rowStart / rowsPerLine, Math.ceil(rowCount / rowsPerLine));
    },
  };
}

function isOneScale([, rows, cols]: readonly [number, number, number]): boolean {
  return rows === 1 && cols === 1;
}

/** The scales of an FP8 matrix as floats in the order of their plane; one for all tiles is repeated. */
function expandScales({ dtype, scales }: TensorInfo, layout: MatrixLayout, bytes: Uint8Array): Float32Array {
  if (!scales || scales.dtype === "E8M0" || !isScaled(dtype)) return new Float32Array(0);
  const values = expandVector(scales.dtype, bytes);
  if (!isOneScale(scales.shape)) return values;
  return new Float32Array(scaleCount(dtype, layout.rows, layout.cols)).fill(values[0] ?? 0);
}

function transposedMatrix(tensor: TensorInfo, rows: number, cols: number, lines: Lines): StoredMatrix {
  const { dtype, shard } = tensor;
  const unit = BLOCKS[dtype].bytes;
  const length = cols * lines.stackRows * unit;
  return {
    layout: matrixLayout(dtype, rows, cols),
    rangesOf: () => [{ shard, offset: tensor.offset + lines.matrix * length, length }],
    pack: ([bytes = EMPTY], rowCount, target) => {
      repackRows(dtype, turned(bytes, unit, rows, cols, lines), rowCount, cols, target);
    },
  };
}

/** Rows of `bytes` [cols, stackRows] of `unit` bytes an element: of each column, the elements that `lines` are. */
function turned(bytes: Uint8Array, unit: number, rows: number, cols: number, lines: Lines): Uint8Array {
  const out = new Uint8Array(rows * cols * unit);
  for (let row = 0, to = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const from = (col * lines.stackRows + lines.first + row * lines.step) * unit;
      for (let byte = 0; byte < unit; byte++) out[to++] = bytes[from + byte] ?? 0;
    }
  }
  return out;
}

/** @throws UnsupportedError */
function refuseCuts({ name, dtype, scales }: TensorInfo, first: number, step: number, transposed: boolean): void {
  const refuse = (what: string): never => {
    throw new UnsupportedError(`Tensor "${name}": ${what} stored as ${dtype} is not supported`);
  };
  if (transposed && !isPlain(dtype)) refuse("a matrix column by column");
  if (!isScaled(dtype) || !scales || isOneScale(scales.shape)) return;
  if (step === 2) refuse("a matrix of every second row");
  if (first % rowAlignment(dtype) !== 0) refuse(`a half from row ${first}, which is inside a tile,`);
}

/** Where the vectors of a stack are, one for each matrix: `size` elements, or that many of twice as many. */
export interface StoredVector {
  range(index: number): ByteRange;
  /** The elements as floats, expanded exactly. */
  read(bytes: Uint8Array): Float32Array;
}

/** Vectors of `size` elements in `tensor` [stack, size], or [stack, 2 size] where they are halves. */
export function storedVector(tensor: TensorInfo, dtype: PlainDType, size: number, half?: Half): StoredVector {
  const interleaved = half === "even" || half === "odd";
  const lines = (matrix: number): LineReader =>
    linesOf(tensor, elementBytes(dtype), {
      matrix,
      stackRows: half === undefined ? size : 2 * size,
      first: half === "second" ? size : half === "odd" ? 1 : 0,
      step: interleaved ? 2 : 1,
    });
  return {
    range: (index) => lines(index).range(0, size),
    read: (bytes) => expandVector(dtype, lines(0).pick(bytes)),
  };
}

function elementBytes(dtype: DType): number {
  return BLOCKS[dtype].bytes;
}
