/** Matrices out of stacks and halves, with scales apart: read by ranges and packed, they are what the definition says. */
import { describe, expect, test } from "vitest";
import { UnsupportedError, UsageError } from "../../../src/errors.ts";
import type { ScaleTable, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { f32ToBf16 } from "../../../src/util/half.ts";
import { matrixLayout, rowAlignment } from "../../../src/weights/layout.ts";
import { packMatrix, packVector } from "../../../src/weights/packing.ts";
import { dequantizeRows } from "../../../src/weights/repack.ts";
import { type MatrixPart, type StoredMatrix, storedMatrix, storedVector } from "../../../src/weights/stored-matrix.ts";
import { quantizeFp8 } from "../../fixtures/fp8.ts";

const AT = 40;
const wave = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.7) * (1 + (i % 5)));

/** A file of codes from byte 40 and a scale table right behind, and the tensor over both. */
function stored(
  dtype: TensorInfo["dtype"],
  shape: readonly number[],
  codes: Uint8Array,
  table?: { readonly dtype: ScaleTable["dtype"]; readonly shape: ScaleTable["shape"]; readonly bytes: Uint8Array },
): { file: Uint8Array; tensor: TensorInfo } {
  const file = new Uint8Array(AT + codes.length + (table?.bytes.length ?? 0));
  file.set(codes, AT);
  file.set(table?.bytes ?? [], AT + codes.length);
  const base = { name: "t", shard: 0, offset: AT, byteLength: codes.length };
  const tensor: TensorInfo = { ...base, dtype, shape };
  if (!table) return { file, tensor };
  const { bytes, ...kind } = table;
  const scales = { ...kind, name: "s", shard: 0, offset: AT + codes.length, byteLength: bytes.length };
  return { file, tensor: { ...tensor, scales } };
}

/** Numbers of rows `rowStart` to `rowStart + rowCount`, by the way that the weight map goes. */
function read(file: Uint8Array, matrix: StoredMatrix, rowStart = 0, rowCount = matrix.layout.rows): Float32Array {
  const { dtype, cols } = matrix.layout;
  const ranges = matrix.rangesOf(rowStart, rowCount).map(({ offset, length }) => file.slice(offset, offset + length));
  const layout = matrixLayout(dtype, rowCount, cols);
  const packed = new Uint8Array(layout.words * 4);
  // Packed somewhere else: in a worker, from plain data.
  packMatrix(structuredClone(layout), structuredClone(matrix.packing), ranges, packed);
  return dequantizeRows(layout, packed);
}

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.slice().buffer);
const rowsFrom = (values: Float32Array, cols: number, first: number, step: number, count: number): Float32Array =>
  Float32Array.from(
    { length: count * cols },
    (_, i) => values[(first + step * Math.floor(i / cols)) * cols + (i % cols)]!,
  );

describe("halves of a stack", () => {
  const [stack, rows, cols] = [3, 5, 6];
  const values = wave(stack * 2 * rows * cols);
  test.each([
    ["first", 0, 1],
    ["second", rows, 1],
    ["even", 0, 2],
    ["odd", 1, 2],
  ] as const)("%s", (half, first, step) => {
    const { file, tensor } = stored("F32", [stack, 2 * rows, cols], bytesOf(values));
    for (let index = 0; index < stack; index++) {
      const from = index * 2 * rows + first;
      const matrix = storedMatrix(tensor, rows, cols, { index, half });
      expect(read(file, matrix)).toEqual(rowsFrom(values, cols, from, step, rows));
      expect(read(file, matrix, 2, 2)).toEqual(rowsFrom(values, cols, from + 2 * step, step, 2));
    }
  });

  test.each([undefined, "even", "odd", "first", "second"] as const)("column by column, %s", (half) => {
    const [first, step] = { all: [0, 1], first: [0, 1], second: [rows, 1], even: [0, 2], odd: [1, 2] }[half ?? "all"]!;
    const stackRows = half ? 2 * rows : rows;
    const bits = Uint16Array.from(wave(stack * cols * stackRows), f32ToBf16);
    const { file, tensor } = stored("BF16", [stack, cols, stackRows], new Uint8Array(bits.buffer));
    for (let index = 0; index < stack; index++) {
      const found = read(file, storedMatrix(tensor, rows, cols, { index, half, transposed: true }));
      const expected = Float32Array.from({ length: rows * cols }, (_, i) => {
        const [row, col] = [Math.floor(i / cols), i % cols];
        const at = (index * cols + col) * stackRows + first! + row * step!;
        return new Float32Array(Uint32Array.of(bits[at]! << 16).buffer)[0]!;
      });
      expect(found).toEqual(expected);
    }
  });

  test.each(["first", "second", "even", "odd"] as const)("%s of vectors", (half) => {
    const bits = Uint16Array.from(wave(4 * 6), f32ToBf16);
    const { file, tensor } = stored("BF16", [4, 6], new Uint8Array(bits.buffer));
    const own = { first: [0, 1, 2], second: [3, 4, 5], even: [0, 2, 4], odd: [1, 3, 5] }[half];
    const vector = storedVector(tensor, "BF16", 3, half);
    const { offset, length } = vector.rangeOf(2);
    const expected = own.map((i) => new Float32Array(Uint32Array.of(bits[2 * 6 + i]! << 16).buffer)[0]!);
    expect([...packVector("BF16", vector.packing, file.slice(offset, offset + length))]).toEqual(expected);
  });
});

describe("FP8", () => {
  const [rows, cols] = [300, 150];
  /** Two matrices, a table each. */
  const pair = [0, 1].map((i) =>
    quantizeFp8(
      "F8_E4M3",
      wave(rows * cols).map((v) => v * (i + 1)),
      rows,
      cols,
    ),
  );
  const joined = <T extends "codes" | "values" | "scales">(key: T) => pair.flatMap((one) => [...one[key]]);
  const codes = Uint8Array.from(joined("codes"));
  const table = (bytes: Uint8Array, dtype: ScaleTable["dtype"] = "F32") => ({
    dtype,
    shape: [2, 3, 2] as const,
    bytes,
  });

  test("tiles of a stack; rows from every 128th on", () => {
    const scales = bytesOf(Float32Array.from(joined("scales")));
    const { file, tensor } = stored("F8_E4M3", [2, rows, cols], codes, table(scales));
    for (const [index, { values }] of pair.entries()) {
      const matrix = storedMatrix(tensor, rows, cols, { index });
      expect(read(file, matrix)).toEqual(values);
      for (const [start, count] of [
        [0, 1],
        [128, 172],
        [256, 44],
        [128, 128],
      ] as const) {
        expect(read(file, matrix, start, count)).toEqual(values.slice(start * cols, (start + count) * cols));
      }
      expect(() => matrix.rangesOf(64, 10)).toThrow(UsageError);
    }
    expect([rowAlignment("F8_E4M3"), rowAlignment("F8_E4M3_ROW"), rowAlignment("Q4_K")]).toEqual([128, 1, 1]);
  });

  test("BF16 scales are widened", () => {
    const bits = Uint16Array.from(joined("scales"), f32ToBf16);
    const { file, tensor } = stored("F8_E4M3", [2, rows, cols], codes, table(new Uint8Array(bits.buffer), "BF16"));
    const found = read(file, storedMatrix(tensor, rows, cols, { index: 1 }));
    const [, second] = pair;
    const wrong = found.findIndex((value, i) => {
      const tile = 6 + Math.floor(Math.floor(i / cols) / 128) * 2 + Math.floor((i % cols) / 128);
      const scale = new Float32Array(Uint32Array.of(bits[tile]! << 16).buffer)[0]!;
      const code = second!.values[i]! / second!.scales[tile - 6]!;
      return Math.abs(value - code * scale) > 1e-6 * Math.abs(value);
    });
    expect(wrong).toBe(-1);
  });

  test("one scale for a matrix; one for a row, any rows of it", () => {
    const one = { dtype: "F32", shape: [2, 1, 1], bytes: bytesOf(Float32Array.of(0.5, 3)) } as const;
    const whole = stored("F8_E4M3", [2, rows, cols], codes, one);
    const first = read(whole.file, storedMatrix(whole.tensor, rows, cols, { index: 0 }));
    const found = read(whole.file, storedMatrix(whole.tensor, rows, cols, { index: 1 }), 7, 200);
    const [, second] = pair;
    expect(found.length).toBe(200 * cols);
    expect(found[0]! / 3).toBeCloseTo(second!.values[7 * cols]! / second!.scales[0]!, 3);
    expect(first[0]! / 0.5).toBeCloseTo(pair[0]!.values[0]! / pair[0]!.scales[0]!, 3);

    const byRow = quantizeFp8("F8_E4M3_ROW", wave(9 * 5), 9, 5);
    const bytes = bytesOf(byRow.scales);
    const rowed = stored("F8_E4M3_ROW", [9, 5], byRow.codes, { dtype: "F32", shape: [1, 9, 1], bytes });
    const matrix = storedMatrix(rowed.tensor, 9, 5);
    expect(read(rowed.file, matrix)).toEqual(byRow.values);
    expect(read(rowed.file, matrix, 3, 4)).toEqual(byRow.values.slice(15, 35));
  });

  test("halves that begin a tile; what would cut one is refused", () => {
    const both = quantizeFp8("F8_E4M3", wave(256 * 10), 256, 10);
    const scales = { dtype: "F32", shape: [1, 2, 1], bytes: bytesOf(both.scales) } as const;
    const { file, tensor } = stored("F8_E4M3", [256, 10], both.codes, scales);
    expect(read(file, storedMatrix(tensor, 128, 10, { half: "first" }))).toEqual(both.values.slice(0, 1280));
    expect(read(file, storedMatrix(tensor, 128, 10, { half: "second" }))).toEqual(both.values.slice(1280));
    const parts: readonly [number, MatrixPart, RegExp][] = [
      [100, { half: "second" }, /a half from row 100/],
      [128, { half: "odd" }, /every second row/],
      [128, { transposed: true }, /column by column/],
    ];
    for (const [rowCount, part, message] of parts) {
      expect(() => storedMatrix(tensor, rowCount, 10, part)).toThrow(UnsupportedError);
      expect(() => storedMatrix(tensor, rowCount, 10, part)).toThrow(message);
    }
  });
});
