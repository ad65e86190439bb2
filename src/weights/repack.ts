/**
 * The lossless re-arrangement of stored rows into the layout of `layout.ts`, its inverse, and the plain expansion to
 * floats that tests hold kernels against. Works on bytes, so a big-endian host would get it right too.
 */
import { BLOCKS, type DType, storedBytes } from "../formats/dtype.ts";
import { bf16ToF32, f16ToF32 } from "../util/half.ts";
import { type MatrixLayout, matrixLayout } from "./layout.ts";

/** Bytes of a quad (four columns) in the layout, for the types without scales. */
const QUAD_BYTES = { F32: 16, F16: 8, BF16: 8 } as const;
const Q8_BLOCK_ELEMENTS = BLOCKS.Q8_0.elements;
/** A stored Q8_0 block in 16-bit units: the scale, then 16 pairs of codes. */
const Q8_BLOCK_HALVES = BLOCKS.Q8_0.bytes / 2;
const Q8_CODE_HALVES = Q8_BLOCK_HALVES - 1;

/**
 * Puts `rows` stored rows into the layout of a matrix of just those rows.
 * @param stored row-major, `rows * cols` elements of `dtype`; Q8_0 rows are whole blocks.
 * @param target where to put them: `matrixLayout(dtype, rows, cols).words * 4` bytes, all zero, from a word boundary.
 */
export function repackRows(
  dtype: DType,
  stored: Uint8Array,
  rows: number,
  cols: number,
  target: Uint8Array<ArrayBuffer> = new Uint8Array(matrixLayout(dtype, rows, cols).words * 4),
): Uint8Array<ArrayBuffer> {
  if (dtype === "Q8_0") repackQ8(stored, rows * cols, target);
  else copyRows(stored, storedBytes(dtype, cols), target, paddedRowBytes(dtype, cols), rows, storedBytes(dtype, cols));
  return target;
}

/** The inverse of `repackRows`: the stored bytes of the matrix `packed` of `rows` x `cols`. */
export function unpackRows(dtype: DType, packed: Uint8Array, rows: number, cols: number): Uint8Array<ArrayBuffer> {
  const stored = new Uint8Array(storedBytes(dtype, rows * cols));
  if (dtype === "Q8_0") unpackQ8(packed, rows * cols, stored);
  else copyRows(packed, paddedRowBytes(dtype, cols), stored, storedBytes(dtype, cols), rows, storedBytes(dtype, cols));
  return stored;
}

/** The numbers of the matrix `packed` (in the layout), row-major without padding: `rows * cols` floats. */
export function dequantizeRows(layout: MatrixLayout, packed: Uint8Array): Float32Array<ArrayBuffer> {
  const { dtype, rows, cols, quadsPerRow } = layout;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const values = new Float32Array(rows * cols);
  const element = elementReader(dtype, view, rows * quadsPerRow);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) values[row * cols + col] = element(row * quadsPerRow * 4 + col);
  }
  return values;
}

/** Reads element `index`, padding counted. A Q8_0 product (11 by 8 bits) is exact in f32, so kernels must equal it. */
function elementReader(dtype: DType, view: DataView, numQuads: number): (index: number) => number {
  switch (dtype) {
    case "F32":
      return (index) => view.getFloat32(index * 4, true);
    case "F16":
      return (index) => f16ToF32(view.getUint16(index * 2, true));
    case "BF16":
      return (index) => bf16ToF32(view.getUint16(index * 2, true));
    case "Q8_0":
      return (index) => {
        const scale = view.getUint16(numQuads * 4 + Math.floor(index / Q8_BLOCK_ELEMENTS) * 2, true);
        return f16ToF32(scale) * view.getInt8(index);
      };
  }
}

/** Expands stored elements of a plain type to floats, exactly. */
export function expandVector(dtype: Exclude<DType, "Q8_0">, stored: Uint8Array): Float32Array<ArrayBuffer> {
  const numElements = stored.length / BLOCKS[dtype].bytes;
  return dequantizeRows(matrixLayout(dtype, 1, numElements), repackRows(dtype, stored, 1, numElements));
}

function paddedRowBytes(dtype: Exclude<DType, "Q8_0">, cols: number): number {
  return Math.ceil(cols / 4) * QUAD_BYTES[dtype];
}

/** Copies `rows` rows of `rowBytes` between strides; one copy when the strides agree. */
function copyRows(
  from: Uint8Array,
  fromStride: number,
  to: Uint8Array,
  toStride: number,
  rows: number,
  rowBytes: number,
): void {
  if (fromStride === toStride) {
    to.set(from.subarray(0, rows * rowBytes));
    return;
  }
  for (let row = 0; row < rows; row++) {
    to.set(from.subarray(row * fromStride, row * fromStride + rowBytes), row * toStride);
  }
}

/**
 * Codes to the front, scales behind them. Moved as 16-bit units, the largest that a 34-byte block is made of; a loop,
 * because a typed-array copy costs more than it saves for 32 bytes.
 */
function repackQ8(stored: Uint8Array, numElements: number, target: Uint8Array<ArrayBuffer>): void {
  const numBlocks = numElements / Q8_BLOCK_ELEMENTS;
  const from = asHalves(stored);
  const to = new Uint16Array(target.buffer, target.byteOffset, target.byteLength >> 1);
  const scales = numBlocks * Q8_CODE_HALVES;
  for (let block = 0, read = 0, write = 0; block < numBlocks; block++) {
    to[scales + block] = from[read++] ?? 0;
    for (const end = write + Q8_CODE_HALVES; write < end; ) to[write++] = from[read++] ?? 0;
  }
}

function unpackQ8(packed: Uint8Array, numElements: number, stored: Uint8Array<ArrayBuffer>): void {
  const numBlocks = numElements / Q8_BLOCK_ELEMENTS;
  const from = asHalves(packed);
  const to = new Uint16Array(stored.buffer);
  const scales = numBlocks * Q8_CODE_HALVES;
  for (let block = 0, read = 0, write = 0; block < numBlocks; block++) {
    to[write++] = from[scales + block] ?? 0;
    for (const end = read + Q8_CODE_HALVES; read < end; ) to[write++] = from[read++] ?? 0;
  }
}

/** The bytes as 16-bit units; copied when they start at an odd address. */
function asHalves(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(even.buffer, even.byteOffset, even.byteLength >> 1);
}
