import { describe, expect, test } from "vitest";
import { BLOCKS, type BlockDType, isPlain, isScaled, type PlainDType } from "../../../src/formats/dtype.ts";
import { embed } from "../../../src/kernels/embed.ts";
import { matrixLayout } from "../../../src/weights/layout.ts";
import { dequantizeRows, placeScales, repackRows } from "../../../src/weights/repack.ts";
import { blocksOf } from "../../fixtures/block-patterns.ts";
import { E4M3 } from "../../fixtures/fp8.ts";
import { dequantize } from "../../fixtures/gguf/lib/ggml-quants.mjs";
import * as reference from "../../reference/embed.ts";
import {
  CANARY,
  DTYPES,
  inQuads,
  quantise,
  randomMatrix,
  storableCols,
  untouched,
  useBench,
  written,
} from "./harness.ts";

const bench = useBench();
const BLOCK_DTYPES = DTYPES.filter((dtype): dtype is BlockDType => !isPlain(dtype) && !isScaled(dtype));

// Nothing is summed: every row must be what the stored bytes stand for, bit by bit.
describe.each(DTYPES)("%s", (dtype) => {
  test.each([
    { vocab: 1, width: 1, tokens: 1 },
    { vocab: 7, width: 3, tokens: 5 },
    { vocab: 33, width: 257, tokens: 3 },
    { vocab: 100, width: 64, tokens: 66 },
  ])("$tokens of $vocab rows, $width wide", async ({ vocab, width, tokens }) => {
    const cols = storableCols(dtype, width);
    const { random } = bench;
    const table = randomMatrix(random, dtype, vocab, cols);
    const ids = random.randomInts(tokens, 0, vocab - 1);
    const padded = Math.ceil(cols / 4) * 4;
    const x = bench.canaries(tokens * padded + 8);
    const run = embed(bench.host(), [{ ...bench.matrix(table), rowStart: 0 }], bench.words(ids), x);
    const out = await bench.result(run(tokens), x);
    const expected = reference.embed(table.values, ids, cols);
    expect(written(out, { rows: tokens, cols: padded })).toEqual(inQuads(expected, cols));
  });
});

test("a matrix in shards: each writes the rows of its own ids and leaves the others", async () => {
  const { random } = bench;
  const [cols, vocab, tokens] = [12, 50, 40];
  const table = randomMatrix(random, "F16", vocab, cols);
  const bounds = [0, 1, 20, 49, 50];
  const ids = random.randomInts(tokens, 0, vocab - 1);
  ids.set([0, 1, 19, 20, 48, 49], 10); // the first and last of every shard for certain
  const shards = bounds.slice(0, -1).map((rowStart, i) => {
    const rows = bounds[i + 1]! - rowStart;
    const stored = quantise("F16", table.values.slice(rowStart * cols, (rowStart + rows) * cols));
    const buffer = bench.bytes(repackRows("F16", stored, rows, cols));
    return { dtype: "F16" as const, rows, quadsPerRow: cols / 4, buffer, rowStart };
  });
  const x = bench.canaries(tokens * cols);
  const buffer = bench.words(ids);
  const out = await bench.result(embed(bench.host(), shards, buffer, x)(tokens), x);
  expect(out).toEqual(Float32Array.from(reference.embed(table.values, ids, cols)));

  const one = bench.canaries(tokens * cols);
  const [, , third] = shards;
  const some = await bench.result(embed(bench.host(), [third!], buffer, one)(tokens), one);
  const owned = (id: number) => id >= 20 && id < 49;
  expect(some).toEqual(out.map((value, i) => (owned(ids[Math.floor(i / cols)]!) ? value : CANARY)));
});

test("no token writes nothing", async () => {
  const table = randomMatrix(bench.random, "F32", 3, 8);
  const x = bench.canaries(16);
  const run = embed(bench.host(), [{ ...bench.matrix(table), rowStart: 0 }], bench.words([0]), x);
  untouched(await bench.result(run(0), x));
});

/** Every finite bit pattern of a 16-bit type as a matrix of one row a pattern, four columns. */
function everyPattern(dtype: Exclude<PlainDType, "F32">) {
  const exponent = dtype === "F16" ? 0x7c00 : 0x7f80;
  const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter(
    (bits) => (bits & exponent) !== exponent,
  );
  return repackRows(dtype, new Uint8Array(patterns.buffer), patterns.length / 4, 4);
}

test.each(["F16", "BF16"] as const)("every finite %s number widens exactly", async (dtype) => {
  const packed = everyPattern(dtype);
  const rows = packed.length / 8;
  const layout = matrixLayout(dtype, rows, 4);
  const matrix = { dtype, rows, quadsPerRow: 1, buffer: bench.bytes(packed), rowStart: 0 };
  const x = bench.canaries(rows * 4);
  const ids = bench.words(Uint32Array.from({ length: rows }, (_, row) => row));
  const out = await bench.result(embed(bench.host(), [matrix], ids, x)(rows), x);
  const expected = dequantizeRows(layout, packed);
  // A device may flush what is too small for a normal float32 to zero; nothing else may differ, half's subnormals neither.
  const wrong = out.findIndex((value, i) => {
    const want = expected[i]!;
    return value !== want && !(value === 0 && Math.abs(want) < 2 ** -126);
  });
  expect(wrong).toBe(-1);
});

test.each(BLOCK_DTYPES)("blocks of every kind in %s widen exactly", async (dtype) => {
  const { elements, bytes } = BLOCKS[dtype];
  const stored = blocksOf(dtype);
  const rows = stored.length / bytes;
  const packed = bench.bytes(repackRows(dtype, stored, rows, elements));
  const matrix = { dtype, rows, quadsPerRow: elements / 4, buffer: packed, rowStart: 0 };
  const x = bench.canaries(rows * elements);
  const ids = bench.words(Uint32Array.from({ length: rows }, (_, row) => row));
  const out = await bench.result(embed(bench.host(), [matrix], ids, x)(rows), x);
  const expected = dequantize(dtype, stored, rows * elements);
  // Scales of MXFP4 reach beyond float32 at both ends; there a device may do as it likes.
  const inRange = (value: number): boolean => value === 0 || (Math.abs(value) >= 2 ** -126 && Number.isFinite(value));
  expect(out.findIndex((value, i) => value !== expected[i] && inRange(expected[i]!))).toBe(-1);
  expect(expected.filter(inRange).length).toBeGreaterThan(expected.length * 0.9);
});

test.each(["F8_E4M3", "F8_E4M3_ROW"] as const)("%s: every code under every kind of scale", async (dtype) => {
  // Zero, subnormal, smallest normal, ordinary, and the largest whose products are finite; of both signs.
  const kinds = [0, 2 ** -130, 2 ** -126, 0.1, -3.7e-3, 1, 7.5e35, -7.5e35].map(Math.fround);
  const [rowsPerScale, perLine] = dtype === "F8_E4M3" ? [128, 2] : [1, 1];
  const [rows, cols] = [kinds.length * rowsPerScale, 256];
  const codes = Uint8Array.from({ length: rows * cols }, (_, i) => (i + 37 * Math.floor(i / cols)) & 255);
  const scales = Float32Array.from({ length: kinds.length * perLine }, (_, i) => kinds[Math.floor(i / perLine)]!);
  const layout = matrixLayout(dtype, rows, cols);
  const packed = repackRows(dtype, codes, rows, cols);
  placeScales(layout, scales, packed);
  const matrix = { dtype, rows, quadsPerRow: cols / 4, buffer: bench.bytes(packed), rowStart: 0 };
  const x = bench.canaries(rows * cols);
  const ids = bench.words(Uint32Array.from({ length: rows }, (_, row) => row));
  const out = await bench.result(embed(bench.host(), [matrix], ids, x)(rows), x);
  const wrong = out.findIndex((value, i) => {
    const scale = kinds[Math.floor(i / cols / rowsPerScale)]!;
    const want = Math.fround(E4M3[codes[i]!]! * scale);
    if (Number.isNaN(want)) return !Number.isNaN(value);
    // A device may count a subnormal scale, or product, as zero.
    const mayFlush = Math.abs(scale) < 2 ** -126 || Math.abs(want) < 2 ** -126;
    return value !== want && !(value === 0 && mayFlush);
  });
  expect(wrong).toBe(-1);
});
