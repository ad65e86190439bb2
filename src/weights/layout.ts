/**
 * The layout that kernels read: a lossless re-arrangement of the file's bytes into planes of 32-bit words. A matrix of
 * R rows and C columns is R x Q quads (Q = ceil(C/4), the last quad of a row padded with zeros), quad i = row * Q + q:
 *
 *   F32        words 4i..4i+3
 *   F16, BF16  words 2i, 2i+1; elements in order, low half first
 *   Q8_0       word i = four signed bytes, element order; after the R*Q words a plane of 16-bit scales, block b = floor(i/8)
 *              in half b (low half of a word first). C is whole blocks of 32.
 *
 * Every matrix is padded to whole 16-byte units. `shaders/lib/dtype-*.wgsl` are the readers of these planes.
 */
import type { DType } from "../formats/dtype.ts";

export interface MatrixLayout {
  readonly dtype: DType;
  readonly rows: number;
  readonly cols: number;
  /** Quads (groups of four columns) in a row. */
  readonly quadsPerRow: number;
  /** Words of the whole matrix, padding included; a multiple of 4. */
  readonly words: number;
}

const WORDS_PER_QUAD = { F32: 4, F16: 2, BF16: 2, Q8_0: 1 } as const;

/** Layout of a `rows` x `cols` matrix stored as `dtype`. */
export function matrixLayout(dtype: DType, rows: number, cols: number): MatrixLayout {
  const quadsPerRow = Math.ceil(cols / 4);
  const quads = rows * quadsPerRow;
  const scaleWords = dtype === "Q8_0" ? Math.ceil(quads / 16) : 0;
  const words = Math.ceil((quads * WORDS_PER_QUAD[dtype] + scaleWords) / 4) * 4;
  return { dtype, rows, cols, quadsPerRow, words };
}

/** One expert's matrices, adjacent in a slot: gate, up, down. Offsets and size in words. */
export interface ExpertLayout {
  readonly gate: MatrixLayout;
  readonly up: MatrixLayout;
  readonly down: MatrixLayout;
  readonly gateWord: number;
  readonly upWord: number;
  readonly downWord: number;
  readonly words: number;
}

/** Places an expert's three matrices one after another. */
export function expertLayout(gate: MatrixLayout, up: MatrixLayout, down: MatrixLayout): ExpertLayout {
  const upWord = gate.words;
  const downWord = upWord + up.words;
  return { gate, up, down, gateWord: 0, upWord, downWord, words: downWord + down.words };
}
