/**
 * Blocks to numbers by the definition of each storage type, one stored block at a time: slow, plain, for tests. The
 * order of operations is ggml's: (scale * sub-scale) * code - (minimum's scale * sub-minimum). Up to the subtraction (or
 * addition) of a minimum every product fits the 24 bits of a float, so a value is rounded at most once, and a fused
 * multiply-add gives the same bits.
 */
import { BLOCKS, type BlockDType } from "../formats/dtype.ts";
import { f16ToF32 } from "../util/half.ts";

/** Reads one block: its bytes, and where its elements go. */
type BlockReader = (block: DataView, out: Float32Array) => void;

/** Twice the magnitudes of the 4-bit float E2M1 by code; the scale below is half of E8M0's in turn. */
const MXFP4_VALUES = [0, 1, 2, 3, 4, 6, 8, 12];
const IQ4_NL_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

const READERS: Readonly<Record<BlockDType, BlockReader>> = {
  Q4_0: (block, out) => fill(out, (e) => half(block, 0) * (nibble(block, 2, e) - 8)),
  Q4_1: (block, out) => fill(out, (e) => half(block, 0) * nibble(block, 4, e) + half(block, 2)),
  Q5_0: (block, out) => fill(out, (e) => half(block, 0) * (nibble(block, 6, e) + 16 * bit(block, 2, e) - 16)),
  Q5_1: (block, out) =>
    fill(out, (e) => half(block, 0) * (nibble(block, 8, e) + 16 * bit(block, 4, e)) + half(block, 2)),
  Q8_0: (block, out) => fill(out, (e) => half(block, 0) * block.getInt8(2 + e)),
  IQ4_NL: (block, out) => fill(out, (e) => half(block, 0) * (IQ4_NL_VALUES[nibble(block, 2, e)] ?? 0)),
  MXFP4: (block, out) =>
    fill(out, (e) => {
      const code = nibble(block, 1, e);
      const magnitude = (MXFP4_VALUES[code & 7] ?? 0) * 2 ** (block.getUint8(0) - 128);
      return code < 8 ? magnitude : 0 - magnitude; // there is no -0
    }),
  Q2_K: (block, out) =>
    fill(out, (e) => {
      const packed = block.getUint8(e >> 4); // of the 16 elements: scale low, minimum high
      return half(block, 80) * (packed & 15) * crumb(block, 16, e) - half(block, 82) * (packed >> 4);
    }),
  Q3_K: (block, out) =>
    fill(out, (e) => {
      const code = crumb(block, 32, e) + 4 * runBit(block, 0, e) - 4;
      return half(block, 108) * scaleOf16(block, 96, e >> 4) * code;
    }),
  Q4_K: (block, out) =>
    fill(out, (e) => {
      const [scale, minimum] = scaleAndMinimum(block, 4, e >> 5);
      return half(block, 0) * scale * pairedNibble(block, 16, e) - half(block, 2) * minimum;
    }),
  Q5_K: (block, out) =>
    fill(out, (e) => {
      const [scale, minimum] = scaleAndMinimum(block, 4, e >> 5);
      const code = pairedNibble(block, 48, e) + 16 * runBit(block, 16, e);
      return half(block, 0) * scale * code - half(block, 2) * minimum;
    }),
  Q6_K: (block, out) =>
    fill(out, (e) => {
      // In a half of 128: the first 64 elements are in the low nibbles of 64 bytes, the last 64 in the high ones.
      const byte = block.getUint8((e >> 7) * 64 + (e & 63));
      const low = (e & 64) === 0 ? byte & 15 : byte >> 4;
      const code = low + 16 * crumb(block, 128, e) - 32;
      return half(block, 208) * block.getInt8(192 + (e >> 4)) * code;
    }),
};

/** The numbers that the stored blocks of `dtype` stand for; `stored` is whole blocks. */
export function dequantizeBlocks(dtype: BlockDType, stored: Uint8Array): Float32Array<ArrayBuffer> {
  const { elements, bytes } = BLOCKS[dtype];
  const count = stored.length / bytes;
  const values = new Float32Array(count * elements);
  for (let block = 0; block < count; block++) {
    const view = new DataView(stored.buffer, stored.byteOffset + block * bytes, bytes);
    READERS[dtype](view, values.subarray(block * elements, (block + 1) * elements));
  }
  return values;
}

function fill(out: Float32Array, element: (e: number) => number): void {
  for (let e = 0; e < out.length; e++) out[e] = element(e);
}

function half(block: DataView, at: number): number {
  return f16ToF32(block.getUint16(at, true));
}

/** Code of element `e` of 32: byte e % 16, low nibble for the first half of the block. */
function nibble(block: DataView, at: number, e: number): number {
  const byte = block.getUint8(at + (e & 15));
  return e < 16 ? byte & 15 : byte >> 4;
}

/** Bit `e` of the 32 bits at `at`. */
function bit(block: DataView, at: number, e: number): number {
  return (block.getUint32(at, true) >>> e) & 1;
}

/** Code of element `e` of 256: 32 bytes for each 64 elements, low nibbles the first 32 of them. */
function pairedNibble(block: DataView, at: number, e: number): number {
  const byte = block.getUint8(at + (e >> 6) * 32 + (e & 31));
  return (e & 32) === 0 ? byte & 15 : byte >> 4;
}

/** Two bits of element `e` of 256: 32 bytes for each 128 elements, lowest bits the first 32 of them. */
function crumb(block: DataView, at: number, e: number): number {
  return (block.getUint8(at + (e >> 7) * 32 + (e & 31)) >> (2 * ((e >> 5) & 3))) & 3;
}

/** One bit of element `e` of 256: 32 bytes, bit s of each for the elements of run s. */
function runBit(block: DataView, at: number, e: number): number {
  return (block.getUint8(at + (e & 31)) >> (e >> 5)) & 1;
}

/** Signed scale of 16 elements: 4 low bits in the nibbles of 8 bytes, 2 high bits in 4 more. */
function scaleOf16(block: DataView, at: number, run: number): number {
  const lowByte = block.getUint8(at + (run & 7));
  const low = run < 8 ? lowByte & 15 : lowByte >> 4;
  const high = (block.getUint8(at + 8 + (run & 3)) >> (2 * (run >> 2))) & 3;
  return low + 16 * high - 32;
}

/** Scale and minimum of run `run` of 32 elements: 8 pairs of 6-bit numbers in 12 bytes. */
function scaleAndMinimum(block: DataView, at: number, run: number): [scale: number, minimum: number] {
  const byte = (i: number): number => block.getUint8(at + i);
  if (run < 4) return [byte(run) & 63, byte(run + 4) & 63];
  const low = byte(run + 4);
  return [(low & 15) + 16 * (byte(run - 4) >> 6), (low >> 4) + 16 * (byte(run) >> 6)];
}
