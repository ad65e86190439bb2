/**
 * The layout that kernels read: a lossless re-arrangement of the file's bytes into planes of 32-bit words. A matrix of
 * R rows and C columns is R x Q quads (Q = ceil(C/4), the last quad of a row padded with zeros), quad i = row * Q + q:
 *
 *   F32        words 4i..4i+3
 *   F16, BF16  words 2i, 2i+1; elements in order, low half first
 *
 * Types in blocks: C is whole blocks, and blocks are numbered through the whole matrix, block b = floor(i / quads of a
 * block), quad j within it. Each part of a stored block (codes, high bits, scales) has a plane of its own, in which the
 * parts of all blocks follow each other in block order, bytes as they are in the file. All planes but the last have
 * whole words a block, so nothing is padded between planes. In words of a block's part, bits from the lowest:
 *
 *   32 elements a block, quads j = 0..7
 *   codes 4 bits   Q4_0 Q4_1 Q5_0 Q5_1 IQ4_NL MXFP4: word j % 4; byte e = element e of quad j, low half for j < 4
 *   codes 8 bits   Q8_0: word j, byte e
 *   high bits      Q5_0 Q5_1: one word, bit 4j + e
 *   scales         Q4_0 Q5_0 Q8_0 IQ4_NL: f16, so block b is in half b; Q4_1 Q5_1: word b = f16 scale, f16 minimum;
 *                  MXFP4: byte b, a power of two
 *
 *   256 elements a block, quads j = 0..63; s = floor(j / 8) is the run of 32 elements, h = floor(j / 32) the half
 *   codes 4 bits   Q4_K Q5_K: word 8 floor(s/2) + j % 8, half s % 2 of each byte;
 *                  Q6_K: word 16h + 8 (s % 2) + j % 8, half floor(s/2) % 2 of each byte
 *   codes 2 bits   Q2_K Q3_K, upper bits of Q6_K: word 8h + j % 8, bits 2 (s % 4) of each byte
 *   high bit       Q5_K Q3_K: word j % 8, bit s of each byte
 *   scales         a small integer for every 16 (Q2_K Q3_K Q6_K) or 32 (Q4_K Q5_K) elements, packed as in the file:
 *                  Q2_K 16 bytes of scale and minimum, Q6_K 16 signed bytes, the others 12 bytes of 6-bit numbers
 *   super scales   Q3_K Q6_K: f16, in half b; Q2_K Q4_K Q5_K: word b = f16 of the scales, f16 of the minima
 *
 * FP8 (F8_E4M3, F8_E4M3_ROW): word i holds the codes of quad i, element order, lowest byte first. After R x Q words a
 * plane of f32 scales: of tiles of 128 x 128, row-major, for F8_E4M3; one for every row for F8_E4M3_ROW.
 *
 * Every matrix is padded to whole 16-byte units. `shaders/lib/dtype-*.wgsl` are the readers of these planes.
 */
import {
  BLOCKS,
  type BlockDType,
  type DType,
  isScaled,
  SCALE_TILE,
  type ScaledDType,
  storedBytes,
} from "../formats/dtype.ts";

export interface MatrixLayout {
  readonly dtype: DType;
  readonly rows: number;
  readonly cols: number;
  /** Quads (groups of four columns) in a row. */
  readonly quadsPerRow: number;
  /** Words of the whole matrix, padding included; a multiple of 4. */
  readonly words: number;
}

/** A part of a stored block that has a plane of its own: `bytes` from byte `at` of the block. */
export interface BlockPart {
  readonly at: number;
  readonly bytes: number;
}

/** Parts of the stored blocks, in the order of their planes. */
export const BLOCK_PARTS: Readonly<Record<BlockDType, readonly BlockPart[]>> = {
  Q4_0: parts([2, 16], [0, 2]), // codes, scales
  Q4_1: parts([4, 16], [0, 4]), // codes, scales and minima
  Q5_0: parts([6, 16], [2, 4], [0, 2]), // codes, high bits, scales
  Q5_1: parts([8, 16], [4, 4], [0, 4]), // codes, high bits, scales and minima
  Q8_0: parts([2, 32], [0, 2]), // codes, scales
  Q2_K: parts([16, 64], [0, 16], [80, 4]), // codes, scales and minima, super scales
  Q3_K: parts([32, 64], [0, 32], [96, 12], [108, 2]), // codes, high bits, scales, super scales
  Q4_K: parts([16, 128], [4, 12], [0, 4]), // codes, scales and minima, super scales
  Q5_K: parts([48, 128], [16, 32], [4, 12], [0, 4]), // codes, high bits, scales and minima, super scales
  Q6_K: parts([0, 128], [128, 64], [192, 16], [208, 2]), // codes, upper bits, scales, super scales
  IQ4_NL: parts([2, 16], [0, 2]), // codes, scales
  MXFP4: parts([1, 16], [0, 1]), // codes, scales
};

/** Layout of a `rows` x `cols` matrix stored as `dtype`; `cols` is whole blocks. */
export function matrixLayout(dtype: DType, rows: number, cols: number): MatrixLayout {
  const quadsPerRow = Math.ceil(cols / 4);
  const scaleBytes = isScaled(dtype) ? 4 * scaleCount(dtype, rows, cols) : 0;
  const words = Math.ceil((storedBytes(dtype, rows * quadsPerRow * 4) + scaleBytes) / 16) * 4;
  return { dtype, rows, cols, quadsPerRow, words };
}

/** Rows of `dtype` that can be had without their neighbours begin at multiples of this. */
export function rowAlignment(dtype: DType): number {
  return dtype === "F8_E4M3" ? SCALE_TILE : 1;
}

/** Scales of a `rows` x `cols` matrix. */
export function scaleCount(dtype: ScaledDType, rows: number, cols: number): number {
  return dtype === "F8_E4M3_ROW" ? rows : Math.ceil(rows / SCALE_TILE) * Math.ceil(cols / SCALE_TILE);
}

/** Bytes from the start of a matrix of `numElements` to each plane of `dtype`, in the order of `BLOCK_PARTS`. */
export function planeStarts(dtype: BlockDType, numElements: number): number[] {
  const numBlocks = numElements / BLOCKS[dtype].elements;
  let start = 0;
  return BLOCK_PARTS[dtype].map(({ bytes }) => {
    start += bytes * numBlocks;
    return start - bytes * numBlocks;
  });
}

function parts(...places: readonly (readonly [at: number, bytes: number])[]): BlockPart[] {
  return places.map(([at, bytes]) => ({ at, bytes }));
}

/** One expert's matrices, adjacent in a slot: gate, where there is one, then up and down. Offsets and size in words. */
export interface ExpertLayout {
  /** `null` for experts without a gate; nothing takes its place then. */
  readonly gate: MatrixLayout | null;
  readonly up: MatrixLayout;
  readonly down: MatrixLayout;
  readonly gateWord: number;
  readonly upWord: number;
  readonly downWord: number;
  readonly words: number;
}

/** Places an expert's matrices one after another. */
export function expertLayout(gate: MatrixLayout | null, up: MatrixLayout, down: MatrixLayout): ExpertLayout {
  const upWord = gate?.words ?? 0;
  const downWord = upWord + up.words;
  return { gate, up, down, gateWord: 0, upWord, downWord, words: downWord + down.words };
}
