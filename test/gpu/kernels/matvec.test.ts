import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import type { DType } from "../../../src/formats/dtype.ts";
import { folded } from "../../../src/kernels/kernel.ts";
import { matvec } from "../../../src/kernels/matvec.ts";
import * as reference from "../../reference/matvec.ts";
import {
  DTYPES,
  ENGINE_TUNINGS,
  inQuads,
  normals,
  randomMatrix,
  storableCols,
  TEST_TUNING,
  useBench,
  written,
} from "./harness.ts";

const bench = useBench();

/** Random matrices of these storage types and rows, side by side in one output. */
async function compare(dtypes: readonly DType[], rows: readonly number[], width: number, tuning = TEST_TUNING) {
  const { random } = bench;
  const cols = dtypes.reduce((most, dtype) => storableCols(dtype, most), width);
  const x = normals(random, cols);
  const matrices = dtypes.map((dtype, i) => randomMatrix(random, dtype, rows[i]!, cols));
  const starts = matrices.map((_, i) => 3 + rows.slice(0, i).reduce((sum, count) => sum + count + 5, 0));
  const out = bench.canaries(rows.reduce((sum, count) => sum + count + 5, 8));
  const segments = matrices.map((matrix, i) => ({ matrix: bench.matrix(matrix), outAt: starts[i]! }));
  const noise = normals(random, 1, 100)[0]!; // finite numbers in the padding of x must not matter
  const xBuffer = { buffer: bench.floats(inQuads(x, cols, noise)) };
  const result = await bench.result([matvec(bench.host(tuning), segments, xBuffer, out)], out);
  for (const [i, matrix] of matrices.entries()) {
    const own = result.subarray(starts[i]!, starts[i]! + rows[i]!);
    bench.agrees(own, reference.matvec(x, matrix.values), `segment ${i}`, Math.sqrt(cols));
    own.fill(-777.25);
  }
  written(result, { rows: 0, cols: 0 });
}

describe.each(DTYPES)("%s", (dtype) => {
  test.each([
    { rows: 1, cols: 1 },
    { rows: 5, cols: 7 },
    { rows: 16, cols: 64 },
    { rows: 17, cols: 130 },
    { rows: 67, cols: 260 },
    { rows: 3, cols: 1500 },
  ])("$rows x $cols", ({ rows, cols }) => compare([dtype], [rows], cols));

  test("a random shape", () => compare([dtype], [bench.random.int(1, 90)], bench.random.int(1, 400)));

  test.each(ENGINE_TUNINGS)("with $lanes lanes, $rows rows", (tuning) => compare([dtype], [23], 390, tuning));
});

describe("several matrices in one dispatch", () => {
  test.each([
    { dtypes: ["F32", "F32"], rows: [1, 1] },
    { dtypes: ["F32", "Q8_0"], rows: [5, 33] },
    { dtypes: ["F16", "F16", "F16"], rows: [20, 4, 4] },
    { dtypes: ["Q8_0", "F32", "BF16"], rows: [17, 1, 30] },
  ] as const)("$dtypes, rows $rows", ({ dtypes, rows }) => compare(dtypes, rows, 70));

  test.each(ENGINE_TUNINGS)("with $lanes lanes, $rows rows", (tuning) => {
    return compare(["Q8_0", "F32", "BF16"], [7, 3, 5], 64, tuning);
  });
});

test("more rows than one grid dimension has workgroups", async () => {
  const { random } = bench;
  const rows = 70_003; // of one row each
  expect(folded(rows)[1]).toBe(2);
  const matrix = randomMatrix(random, "BF16", rows, 3);
  const x = normals(random, 3);
  const out = bench.canaries(rows + 9);
  const host = bench.host({ lanes: 1, rows: 1 });
  const command = matvec(host, [{ matrix: bench.matrix(matrix), outAt: 2 }], { buffer: bench.floats(x) }, out);
  const result = written(await bench.result([command], out), { rows: 1, cols: rows, at: 2 });
  bench.agrees(result, reference.matvec(x, matrix.values));
});

test("grids cover all workgroups, and no dimension is over the limit", () => {
  for (const groups of [0, 1, 65_535, 65_536, 131_070, 131_071, 200_000, 9_999_999]) {
    const [x, y] = folded(groups);
    expect(x * y).toBeGreaterThanOrEqual(groups);
    expect(x * y - groups).toBeLessThan(Math.max(1, y));
    expect(Math.max(x, y)).toBeLessThanOrEqual(65_535);
  }
});

test("the same bits every time, and whatever shares the dispatch", async () => {
  const { random } = bench;
  const [cols, rows] = [300, 37];
  const [a, b] = [randomMatrix(random, "F32", rows, cols), randomMatrix(random, "F16", 9, cols)];
  const x = { buffer: bench.floats(normals(random, cols)) };
  const [first, second] = [
    { matrix: bench.matrix(a), outAt: 0 },
    { matrix: bench.matrix(b), outAt: rows },
  ];
  const run = async (segments: (typeof first)[]) => {
    const out = bench.canaries(rows + 9);
    return (await bench.result([matvec(bench.host(), segments, x, out)], out)).slice(0, rows);
  };
  const expected = await run([first]);
  for (let i = 0; i < 5; i++) expect(await run([first])).toEqual(expected);
  expect(await run([first, second])).toEqual(expected);
});

test("refuses no matrix, four, or rows of unequal length", () => {
  const of = (cols: number) => ({ matrix: bench.matrix(randomMatrix(bench.random, "F32", 1, cols)), outAt: 0 });
  const x = { buffer: bench.canaries(16) };
  for (const segments of [[], [of(8), of(8), of(8), of(8)], [of(8), of(16)]]) {
    expect(() => matvec(bench.host(), segments, x, bench.canaries(4))).toThrow(UsageError);
  }
});
