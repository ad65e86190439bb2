/** The GPU layout: lossless both ways for every storage type, and the numbers that it stands for. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BLOCKS, type BlockDType, type DType, isPlain, isScaled, storedBytes } from "../../../src/formats/dtype.ts";
import { e4m3ToF32 } from "../../../src/util/fp8.ts";
import { bf16ToF32, f16ToF32 } from "../../../src/util/half.ts";
import { BLOCK_PARTS, matrixLayout } from "../../../src/weights/layout.ts";
import {
  dequantizeRows,
  expandVector,
  placeScales,
  repackMxfp4,
  repackRows,
  unpackRows,
} from "../../../src/weights/repack.ts";
import { blocksOf } from "../../fixtures/block-patterns.ts";
import { E4M3, quantizeFp8 } from "../../fixtures/fp8.ts";
import { dequantize } from "../../fixtures/gguf/lib/ggml-quants.mjs";

const DTYPES = Object.keys(BLOCKS) as DType[];
const BLOCK_DTYPES = DTYPES.filter((dtype) => !isPlain(dtype) && !isScaled(dtype)) as BlockDType[];

/** A random matrix of `dtype` with random stored bytes at an odd or even address. */
const stored = (dtype: DType) =>
  fc
    .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 70 }), fc.nat(1), fc.integer())
    .map(([rows, width, shift, seed]) => {
      const cols = isPlain(dtype) ? width : BLOCKS[dtype].elements * (1 + (width % 4));
      const length = storedBytes(dtype, rows * cols);
      const bytes = new Uint8Array(length + 1).map((_, i) => Math.imul(i + 1, seed | 1) >>> 13);
      return { rows, cols, bytes: bytes.subarray(shift, shift + length) };
    });

describe.each(DTYPES)("%s", (dtype) => {
  test("unpack undoes repack, padding is zero, size is the layout's", () => {
    fc.assert(
      fc.property(stored(dtype), ({ rows, cols, bytes }) => {
        const packed = repackRows(dtype, bytes, rows, cols);
        expect(packed.length).toBe(matrixLayout(dtype, rows, cols).words * 4);
        expect(unpackRows(dtype, packed, rows, cols)).toEqual(bytes.slice());
        // Setting every stored bit must leave the padding clear.
        const ones = repackRows(dtype, new Uint8Array(bytes.length).fill(255), rows, cols);
        expect(ones.filter((byte) => byte === 255)).toHaveLength(bytes.length);
        expect(ones.every((byte) => byte === 255 || byte === 0)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("rows one by one are the rows of the whole", () => {
    fc.assert(
      fc.property(stored(dtype), ({ rows, cols, bytes }) => {
        const whole = dequantizeRows(matrixLayout(dtype, rows, cols), repackRows(dtype, bytes, rows, cols));
        const rowBytes = storedBytes(dtype, cols);
        for (let row = 0; row < rows; row++) {
          const one = repackRows(dtype, bytes.subarray(row * rowBytes, (row + 1) * rowBytes), 1, cols);
          const values = dequantizeRows(matrixLayout(dtype, 1, cols), one);
          expect(values).toEqual(whole.slice(row * cols, (row + 1) * cols));
        }
      }),
      { numRuns: 50 },
    );
  });

  test("a target inside a larger buffer is filled in its place only", () => {
    const cols = 256;
    const bytes = new Uint8Array(storedBytes(dtype, 3 * cols)).fill(9);
    const { words } = matrixLayout(dtype, 3, cols);
    const buffer = new Uint8Array(words * 4 + 32);
    repackRows(dtype, bytes, 3, cols, buffer.subarray(16, 16 + words * 4));
    expect(buffer.subarray(16, 16 + words * 4)).toEqual(repackRows(dtype, bytes, 3, cols));
    expect([...buffer.subarray(0, 16), ...buffer.subarray(-16)].every((byte) => byte === 0)).toBe(true);
  });
});

test("words lie where the layout says", () => {
  const halves = Uint16Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const packed = new Uint16Array(repackRows("F16", new Uint8Array(halves.buffer), 2, 5).buffer);
  expect([...packed]).toEqual([1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 9, 10, 0, 0, 0]);
  const floats = Float32Array.from([1, 2, 3]);
  expect([...new Float32Array(repackRows("F32", new Uint8Array(floats.buffer), 3, 1).buffer)]).toEqual([
    1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,
  ]);
});

describe.each(BLOCK_DTYPES)("planes of %s", (dtype) => {
  test("take every byte of a block once, whole words but in the last, and no more bytes than the file", () => {
    const { elements, bytes } = BLOCKS[dtype];
    const covered = BLOCK_PARTS[dtype].flatMap((part) => Array.from({ length: part.bytes }, (_, i) => part.at + i));
    expect(covered.sort((a, b) => a - b)).toEqual(Array.from({ length: bytes }, (_, i) => i));
    for (const part of BLOCK_PARTS[dtype].slice(0, -1)) expect(part.bytes % 4).toBe(0);
    for (const rows of [1, 3, 7]) {
      const { words } = matrixLayout(dtype, rows, elements);
      expect(words * 4 - storedBytes(dtype, rows * elements)).toBeLessThan(16);
    }
  });
});

describe("dequantisation by definition", () => {
  test.each(BLOCK_DTYPES)("%s agrees bit by bit with an independent implementation", (dtype) => {
    const { elements, bytes } = BLOCKS[dtype];
    const stored = blocksOf(dtype);
    const count = stored.length / bytes;
    const expected = dequantize(dtype, stored, count * elements);
    const values = dequantizeRows(matrixLayout(dtype, count, elements), repackRows(dtype, stored, count, elements));
    expect(expected.every(Number.isFinite) || dtype === "MXFP4").toBe(true);
    expect(values.findIndex((value, i) => !Object.is(value, expected[i]))).toBe(-1);
  });

  test("MXFP4: every scale and code", () => {
    const stored = Uint8Array.from({ length: 256 * 17 }, (_, i) => (i % 17 === 0 ? i / 17 : ((i % 17) - 1) * 17));
    const expected = dequantize("MXFP4", stored, 256 * 32);
    expect(dequantizeRows(matrixLayout("MXFP4", 1, 256 * 32), repackRows("MXFP4", stored, 1, 256 * 32))).toEqual(
      expected,
    );
    expect([...expected.subarray(127 * 32, 127 * 32 + 16)]).toEqual([
      0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6,
    ]);
  });

  test("Q8_0: scale times code, with subnormal, negative and zero scales and all codes", () => {
    const scales = [0x0001, 0x03ff, 0x8001, 0x0000, 0x3c00, 0xbc00, 0x7bff, 0x2e66];
    const codes = [-128, -127, -1, 0, 1, 127];
    const rows = 2;
    const cols = 32 * (scales.length / rows);
    const bytes = new Uint8Array(scales.length * 34);
    const view = new DataView(bytes.buffer);
    const expected: number[] = [];
    scales.forEach((scale, block) => {
      view.setUint16(block * 34, scale, true);
      for (let i = 0; i < 32; i++) {
        const code = codes[(i + block) % codes.length] ?? 0;
        view.setInt8(block * 34 + 2 + i, code);
        expected.push(f16ToF32(scale) * code);
      }
    });
    const packed = repackRows("Q8_0", bytes, rows, cols);
    const values = dequantizeRows(matrixLayout("Q8_0", rows, cols), packed);
    // Exact: 11 bits of scale by 8 bits of code fit the 24 bits of a float.
    expect([...values]).toEqual(expected);
    expect(values[0]).toBe(-128 * 2 ** -24);
    const words = new Uint32Array(packed.buffer);
    expect((words[0] ?? 0) & 0xff).toBe(128);
    expect((words[(rows * cols) / 4] ?? 0) & 0xffff).toBe(scales[0]);
    expect((words[(rows * cols) / 4] ?? 0) >>> 16).toBe(scales[1]);
  });

  test("F16 and BF16 vectors expand exactly", () => {
    const bits = Uint16Array.from([0x0001, 0x8000, 0x3c00, 0x7bff, 0xfc00]);
    const bytes = new Uint8Array(bits.buffer);
    expect(expandVector("F16", bytes)).toEqual(Float32Array.from(bits, f16ToF32));
    expect(expandVector("BF16", bytes)).toEqual(Float32Array.from(bits, bf16ToF32));
    expect(expandVector("F32", new Uint8Array(Float32Array.of(0.1, -0).buffer))).toEqual(Float32Array.of(0.1, -0));
    expect(expandVector("F32", new Uint8Array(0))).toEqual(new Float32Array(0));
  });
});

describe("FP8", () => {
  test("codes stand for what E4M3 says", () => {
    expect(E4M3.map((_, code) => e4m3ToF32(code))).toEqual(E4M3);
    expect([0x01, 0x07, 0x08, 0x38, 0x7e, 0x7f, 0x80, 0xfe].map(e4m3ToF32)).toEqual([
      2 ** -9,
      7 * 2 ** -9,
      2 ** -6,
      1,
      448,
      Number.NaN,
      -0,
      -448,
    ]);
  });

  test.each([
    ["F8_E4M3", 300, 130],
    ["F8_E4M3", 1, 1],
    ["F8_E4M3", 128, 128],
    ["F8_E4M3", 129, 257],
    ["F8_E4M3_ROW", 7, 130],
  ] as const)("%s of %i x %i: codes, then scales; no more bytes than the file's, rounded up", (dtype, rows, cols) => {
    const source = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i * 1.7) * 2 ** ((i % 19) - 9));
    const { codes, scales, values } = quantizeFp8(dtype, source, rows, cols);
    const layout = matrixLayout(dtype, rows, cols);
    const packed = repackRows(dtype, codes, rows, cols);
    placeScales(layout, scales, packed);
    expect(unpackRows(dtype, packed, rows, cols)).toEqual(codes);
    const plane = rows * layout.quadsPerRow;
    expect(new Float32Array(packed.buffer, plane * 4, scales.length)).toEqual(scales);
    expect(layout.words - plane - scales.length).toBeLessThan(4);
    expect(dequantizeRows(layout, packed)).toEqual(values);
  });
});

test("MXFP4 with codes and scales apart is GGUF's blocks in another order", () => {
  const values = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6];
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 * 40 }), fc.integer(), (bytes, seed) => {
      const blocks = Math.floor(bytes.length / 16);
      const codes = bytes.slice(0, blocks * 16);
      const scales = Uint8Array.from({ length: blocks }, (_, b) => Math.imul(b + 1, seed | 1) >>> 24);
      const layout = matrixLayout("MXFP4", blocks, 32);
      const packed = new Uint8Array(layout.words * 4);
      repackMxfp4(codes, scales, packed);
      // By the definition of the folder's form: the even element in the low half of a byte, 2^(e - 127) on each block.
      const expected = Float32Array.from({ length: blocks * 32 }, (_, i) => {
        const byte = codes[i >> 1]!;
        return values[i % 2 === 0 ? byte & 15 : byte >> 4]! * 2 ** (scales[i >> 5]! - 127);
      });
      expect(dequantizeRows(layout, packed)).toEqual(expected);
      // Nothing is lost: the codes come back out of the layout's own blocks.
      const stored = unpackRows("MXFP4", packed, blocks, 32);
      const nibbles = (block: number): number[] =>
        Array.from({ length: 32 }, (_, e) => {
          const byte = stored[block * 17 + 1 + (e % 16)]!;
          return e < 16 ? byte & 15 : byte >> 4;
        });
      const back = Uint8Array.from({ length: blocks * 16 }, (_, i) => {
        const all = nibbles(Math.floor(i / 16));
        return all[2 * (i % 16)]! | (all[2 * (i % 16) + 1]! << 4);
      });
      expect(back).toEqual(codes);
      expect(Uint8Array.from({ length: blocks }, (_, b) => stored[b * 17]!)).toEqual(scales);
    }),
    { numRuns: 100 },
  );
});
