/**
 * The lossless re-arrangement of stored rows into the layout of `layout.ts`, its inverse, and the expansion to floats
 * that tests hold kernels against. Works on bytes, so a big-endian host would get it right too.
 */
import {
  BLOCKS,
  type BlockDType,
  type DType,
  isPlain,
  isScaled,
  type PlainDType,
  SCALE_TILE,
  type ScaledDType,
  storedBytes,
} from "../formats/dtype.ts";
import { e4m3ToF32 } from "../util/fp8.ts";
import { bf16ToF32, f16ToF32 } from "../util/half.ts";
import { dequantizeBlocks } from "./dequantize.ts";
import { BLOCK_PARTS, type MatrixLayout, matrixLayout, planeStarts } from "./layout.ts";

/**
 * Puts `rows` stored rows into the layout of a matrix of just those rows; of FP8 the codes, its scales stay zero.
 * @param stored row-major, `rows * cols` elements of `dtype`; rows are whole blocks.
 * @param target where to put them: `matrixLayout(dtype, rows, cols).words * 4` bytes, all zero, from a word boundary.
 */
export function repackRows(
  dtype: DType,
  stored: Uint8Array,
  rows: number,
  cols: number,
  target: Uint8Array<ArrayBuffer> = new Uint8Array(matrixLayout(dtype, rows, cols).words * 4),
): Uint8Array<ArrayBuffer> {
  if (isBlocks(dtype)) moveParts(dtype, rows * cols, stored, target, "to planes");
  else copyRows(stored, storedBytes(dtype, cols), target, paddedRowBytes(dtype, cols), rows, storedBytes(dtype, cols));
  return target;
}

/** Writes the scales of an FP8 matrix, in the order of their plane, into `packed`, where its codes are already. */
export function placeScales(layout: MatrixLayout, scales: Float32Array, packed: Uint8Array<ArrayBuffer>): void {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const start = layout.rows * layout.quadsPerRow * 4;
  scales.forEach((scale, i) => {
    view.setFloat32(start + i * 4, scale, true);
  });
}

/**
 * The rows of an MXFP4 matrix whose codes and scales are stored apart, into the layout.
 * @param codes 16 bytes a block; byte i holds elements 2i (low) and 2i + 1. The layout pairs i with i + 16.
 * @param scales a byte a block.
 */
export function repackMxfp4(codes: Uint8Array, scales: Uint8Array, target: Uint8Array<ArrayBuffer>): void {
  for (let at = 0; at < codes.length; at += 16) {
    for (let i = 0; i < 8; i++) {
      const [first, second] = [codes[at + i] ?? 0, codes[at + 8 + i] ?? 0];
      target[at + 2 * i] = (first & 15) | ((second & 15) << 4);
      target[at + 2 * i + 1] = (first >> 4) | (second & 0xf0);
    }
  }
  target.set(scales, codes.length);
}

/** The inverse of `repackRows`: the stored bytes of the matrix `packed` of `rows` x `cols`. */
export function unpackRows(dtype: DType, packed: Uint8Array, rows: number, cols: number): Uint8Array<ArrayBuffer> {
  const stored = new Uint8Array(storedBytes(dtype, rows * cols));
  if (isBlocks(dtype)) moveParts(dtype, rows * cols, packed, stored, "to blocks");
  else copyRows(packed, paddedRowBytes(dtype, cols), stored, storedBytes(dtype, cols), rows, storedBytes(dtype, cols));
  return stored;
}

/** The numbers of the matrix `packed` (in the layout), row-major without padding: `rows * cols` floats. */
export function dequantizeRows(layout: MatrixLayout, packed: Uint8Array): Float32Array<ArrayBuffer> {
  const { dtype, rows, cols, quadsPerRow } = layout;
  if (isScaled(dtype)) return dequantizeScaled(dtype, layout, packed);
  if (isBlocks(dtype)) return dequantizeBlocks(dtype, unpackRows(dtype, packed, rows, cols));
  const values = new Float32Array(rows * cols);
  const element = elementReader(dtype, packed);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) values[row * cols + col] = element(row * quadsPerRow * 4 + col);
  }
  return values;
}

function dequantizeScaled(dtype: ScaledDType, layout: MatrixLayout, packed: Uint8Array): Float32Array<ArrayBuffer> {
  const { rows, cols, quadsPerRow } = layout;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const tileCols = Math.ceil(cols / SCALE_TILE);
  const values = new Float32Array(rows * cols);
  for (let i = 0; i < values.length; i++) {
    const [row, col] = [Math.floor(i / cols), i % cols];
    const tile = Math.floor(row / SCALE_TILE) * tileCols + Math.floor(col / SCALE_TILE);
    const scale = view.getFloat32((rows * quadsPerRow + (dtype === "F8_E4M3_ROW" ? row : tile)) * 4, true);
    values[i] = e4m3ToF32(packed[row * quadsPerRow * 4 + col] ?? 0) * scale;
  }
  return values;
}

/** Expands stored elements of a plain type to floats, exactly. */
export function expandVector(dtype: PlainDType, stored: Uint8Array): Float32Array<ArrayBuffer> {
  const element = elementReader(dtype, stored);
  return Float32Array.from({ length: stored.length / BLOCKS[dtype].bytes }, (_, index) => element(index));
}

/** Reads element `index` of `bytes`. */
function elementReader(dtype: PlainDType, bytes: Uint8Array): (index: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case "F32":
      return (index) => view.getFloat32(index * 4, true);
    case "F16":
      return (index) => f16ToF32(view.getUint16(index * 2, true));
    case "BF16":
      return (index) => bf16ToF32(view.getUint16(index * 2, true));
  }
}

function isBlocks(dtype: DType): dtype is BlockDType {
  return !isPlain(dtype) && !isScaled(dtype);
}

function paddedRowBytes(dtype: PlainDType | ScaledDType, cols: number): number {
  return storedBytes(dtype, Math.ceil(cols / 4) * 4);
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

/** Between blocks as stored and planes: every part of every block changes its place, and no byte its value. */
function moveParts(
  dtype: BlockDType,
  numElements: number,
  from: Uint8Array,
  to: Uint8Array<ArrayBuffer>,
  direction: "to planes" | "to blocks",
): void {
  const { elements, bytes: blockBytes } = BLOCKS[dtype];
  const starts = planeStarts(dtype, numElements);
  // 16-bit units where blocks are made of them, for speed.
  const unit = blockBytes % 2 === 0 ? 2 : 1;
  const [source, sink] = unit === 2 ? [asHalves(from), asHalves(to)] : [from, to];
  BLOCK_PARTS[dtype].forEach(({ at, bytes }, plane) => {
    const inBlocks = { at: at / unit, stride: blockBytes / unit };
    const inPlane = { at: (starts[plane] ?? 0) / unit, stride: bytes / unit };
    const [read, write] = direction === "to planes" ? [inBlocks, inPlane] : [inPlane, inBlocks];
    copyPieces(source, read, sink, write, numElements / elements, bytes / unit);
  });
}

interface Strided {
  readonly at: number;
  readonly stride: number;
}

/** Copies `count` pieces of `length` units; a loop, because a typed-array copy costs more than it saves for so few. */
function copyPieces(
  from: Uint8Array | Uint16Array,
  read: Strided,
  to: Uint8Array | Uint16Array,
  write: Strided,
  count: number,
  length: number,
): void {
  for (let piece = 0; piece < count; piece++) {
    const source = read.at + piece * read.stride;
    const sink = write.at + piece * write.stride;
    for (let i = 0; i < length; i++) to[sink + i] = from[source + i] ?? 0;
  }
}

/** The bytes as 16-bit units; copied when they start at an odd address. */
function asHalves(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(even.buffer, even.byteOffset, even.byteLength >> 1);
}
