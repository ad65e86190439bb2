import { describe, expect, test } from "vitest";
import type { DType } from "../../../src/formats/dtype.ts";
import { matmul } from "../../../src/kernels/matmul.ts";
import * as reference from "../../reference/matmul.ts";
import {
  DTYPES,
  inRows,
  normals,
  type RandomMatrix,
  randomMatrix,
  storableCols,
  untouched,
  useBench,
  written,
} from "./harness.ts";

const bench = useBench();
/** Floats of noise around what a site reads, and of canaries around what it writes. */
const MARGIN = 12;

/** `x` [tokens, cols] through the kernel, out of the middle of wider rows into the middle of wider rows. */
async function run(x: Float32Array, matrix: RandomMatrix, tokens: number): Promise<Float32Array> {
  const { rows, cols } = matrix.layout;
  const xStride = Math.ceil(cols / 4) * 4 + MARGIN;
  const outStride = rows + MARGIN;
  const out = bench.canaries(tokens * outStride + MARGIN);
  const command = matmul(bench.host(), {
    matrix: bench.matrix(matrix),
    x: bench.floats(inRows(x, cols, xStride, 8, bench.random.float(-100, 100))),
    xAt: 2,
    xStride: xStride / 4,
    out,
    outAt: 5,
    outStride,
    step: bench.step(1000, tokens),
  })(tokens);
  const region = { rows: tokens, cols: rows, stride: outStride, at: 5 };
  return written(await bench.result([command], out), region);
}

async function compare(dtype: DType, tokens: number, rows: number, width: number): Promise<void> {
  const cols = storableCols(dtype, width);
  const matrix = randomMatrix(bench.random, dtype, rows, cols);
  const x = normals(bench.random, tokens * cols);
  bench.agrees(await run(x, matrix, tokens), reference.matmul(x, matrix.values, cols), undefined, Math.sqrt(cols));
}

describe.each(DTYPES)("%s", (dtype) => {
  test.each([
    { tokens: 1, rows: 1, cols: 1 },
    { tokens: 2, rows: 33, cols: 7 },
    { tokens: 32, rows: 32, cols: 16 },
    { tokens: 33, rows: 31, cols: 65 },
    { tokens: 70, rows: 5, cols: 130 },
  ])("$tokens tokens through $rows x $cols", ({ tokens, rows, cols }) => compare(dtype, tokens, rows, cols));

  test("a random shape", () => {
    const { random } = bench;
    return compare(dtype, random.int(1, 50), random.int(1, 70), random.int(1, 150));
  });
});

test("a token's row is the same bits whatever shares its tile", async () => {
  const { random } = bench;
  const [tokens, cols] = [45, 90];
  const matrix = randomMatrix(random, "F32", 50, cols);
  const x = normals(random, tokens * cols);
  const all = await run(x, matrix, tokens);
  const rowOf = (result: Float32Array, token: number) => result.slice(token * 50, (token + 1) * 50);
  const token = (t: number) => x.subarray(t * cols, (t + 1) * cols);
  for (const t of [0, 7, 31, 32, 44]) {
    expect(await run(token(t).slice(), matrix, 1)).toEqual(rowOf(all, t)); // alone
    const place = random.int(0, 34);
    const others = normals(random, 35 * cols, 50);
    others.set(token(t), place * cols);
    expect(rowOf(await run(others, matrix, 35), place)).toEqual(rowOf(all, t)); // elsewhere, among strangers
  }
});

test("only the step's tokens are written, though the grid covers the whole tile", async () => {
  const matrix = randomMatrix(bench.random, "F32", 4, 4);
  const x = normals(bench.random, 32 * 4);
  const out = bench.canaries(32 * 4);
  const site = { matrix: bench.matrix(matrix), x: bench.floats(x), xAt: 0, xStride: 1, out, outAt: 0, outStride: 4 };
  const command = matmul(bench.host(), { ...site, step: bench.step(0, 5) })(32);
  const result = written(await bench.result([command], out), { rows: 5, cols: 4 });
  bench.agrees(result, reference.matmul(x.subarray(0, 20), matrix.values, 4));
});

test("no token writes nothing", async () => {
  const out = bench.canaries(8);
  const matrix = bench.matrix(randomMatrix(bench.random, "F32", 4, 4));
  const site = { matrix, x: bench.floats(new Float32Array(8)), xAt: 0, xStride: 1, out, outAt: 0, outStride: 4 };
  untouched(await bench.result([matmul(bench.host(), { ...site, step: bench.step(0, 0) })(0)], out));
});
