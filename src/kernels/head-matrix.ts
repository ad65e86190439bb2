/** Products of every head's own part of a matrix with its own vector: what the kernels for one and many tokens share. */

import headMatrix from "../../shaders/lib/head-matrix.wgsl?raw";
import { UsageError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Fragment } from "../gpu/wgsl.ts";
import { type Matrix, matrixBytes, matrixFragments } from "./kernel.ts";

/** The heads' parts of a matrix: head h has `numRows` rows from `h * rowStride + firstRow`. */
export interface HeadRows {
  readonly matrix: Matrix;
  readonly numHeads: number;
  readonly rowStride: number;
  readonly firstRow: number;
  readonly numRows: number;
  /** Columns of the matrix, without its padding. */
  readonly numCols: number;
  /** What a head's outputs are: a product with each of its rows [numRows], or with each of its columns [numCols]. */
  readonly outputs: "rows" | "columns";
}

/** Floats of a row per token, `tokenStride` apart: head h's begin at `at + h * stride`. */
export interface HeadVectors {
  readonly buffer: LedgerBuffer;
  readonly at: number;
  readonly stride: number;
  readonly tokenStride: number;
}

/** @throws UsageError for a part that is not within the matrix. */
export function headParams({ matrix, numHeads, rowStride, firstRow, numRows }: HeadRows): {
  num_heads: number;
  row_stride: number;
  first_row: number;
  quads: number;
} {
  if (matrix.rows !== numHeads * rowStride || firstRow + numRows > rowStride) {
    throw new UsageError(
      `${numHeads} heads of ${rowStride} rows, ${numRows} used from ${firstRow} on: the matrix has ${matrix.rows} rows.`,
    );
  }
  return { num_heads: numHeads, row_stride: rowStride, first_row: firstRow, quads: matrix.quadsPerRow };
}

export function headMatrixFragments({ matrix }: HeadRows): Fragment[] {
  return [{ text: headMatrix }, ...matrixFragments(matrix.dtype)];
}

/** Stored bytes of the rows that are used. */
export function headMatrixBytes({ matrix, rowStride, numRows }: HeadRows): number {
  return Math.round((matrixBytes(matrix) * numRows) / rowStride);
}
