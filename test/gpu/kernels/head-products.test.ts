/** Products of heads with their own parts of a matrix, for one token and for many. */
import { describe, expect, test } from "vitest";
import { UnsupportedError, UsageError } from "../../../src/errors.ts";
import type { DType } from "../../../src/formats/dtype.ts";
import { headMatmul } from "../../../src/kernels/head-matmul.ts";
import type { HeadRows } from "../../../src/kernels/head-matrix.ts";
import { headMatvec } from "../../../src/kernels/head-matvec.ts";
import { headProducts } from "../../reference/latent-attention.ts";
import { ENGINE_TUNINGS, normals, randomMatrix, storableCols, useBench, written } from "./harness.ts";

const bench = useBench();

interface Case {
  readonly tokens: number;
  readonly numHeads: number;
  readonly rowStride: number;
  readonly firstRow: number;
  readonly numRows: number;
  readonly cols: number;
  readonly outputs: "rows" | "columns";
}

/** Vectors of heads out of the middle of wider rows, results into wider rows, against float64. */
async function compare(dtype: DType, at: Case): Promise<void> {
  const { random } = bench;
  const { tokens, numHeads, rowStride, firstRow, numRows, outputs } = at;
  const cols = storableCols(dtype, at.cols);
  const { layout, packed, values } = randomMatrix(random, dtype, numHeads * rowStride, cols);
  const matrix = bench.matrix({ layout, packed, values });
  const part: HeadRows = { matrix, numHeads, rowStride, firstRow, numRows, numCols: cols, outputs };
  const [inputs, results] = outputs === "rows" ? [cols, numRows] : [numRows, cols];
  const x = normals(random, tokens * numHeads * inputs);
  const expected = headProducts({ x, weights: values, numHeads, rowStride, firstRow, numRows, cols, outputs });

  const [xAt, xStride] = [random.int(0, 7), inputs + random.int(0, 5)];
  const tokenStride = xAt + numHeads * xStride + 3;
  const rows = new Float32Array(tokens * tokenStride).fill(random.float(-100, 100)); // what lies between must not count
  for (let i = 0; i < tokens * numHeads; i++) {
    const to = Math.floor(i / numHeads) * tokenStride + xAt + (i % numHeads) * xStride;
    rows.set(x.subarray(i * inputs, (i + 1) * inputs), to);
  }
  const input = { buffer: bench.floats(rows), at: xAt, stride: xStride, tokenStride };
  const outStride = numHeads * results + 5;
  const out = bench.canaries(tokens * outStride);
  const target = { buffer: out, stride: results, tokenStride: outStride };
  const many = headMatmul(bench.host(), part, input, target, bench.step(9, tokens))(tokens);
  const region = { rows: tokens, cols: numHeads * results, stride: outStride };
  const size = Math.sqrt(inputs);
  bench.agrees(written(await bench.result([many], out), region), expected, "many tokens", size);
  for (const tuning of ENGINE_TUNINGS) {
    const one = bench.canaries(outStride);
    const command = headMatvec(bench.host(tuning), part, input, { buffer: one, stride: results });
    const first = written(await bench.result([command], one), { ...region, rows: 1 });
    bench.agrees(first, expected.subarray(0, numHeads * results), "one token", size);
  }
}

// One of each kind of layout; the compile tier builds the kernels with all.
describe.each(["F32", "F16", "Q8_0", "Q4_K", "MXFP4"] as const)("%s", (dtype) => {
  test("rows of a part in the middle", () =>
    compare(dtype, { tokens: 3, numHeads: 3, rowStride: 11, firstRow: 4, numRows: 5, cols: 9, outputs: "rows" }));

  test("columns of a part in the middle", () =>
    compare(dtype, { tokens: 3, numHeads: 3, rowStride: 11, firstRow: 4, numRows: 5, cols: 9, outputs: "columns" }));
});

describe.each(["rows", "columns"] as const)("%s", (outputs) => {
  test.each([
    { tokens: 1, numHeads: 1, rowStride: 1, firstRow: 0, numRows: 1, cols: 1 },
    { tokens: 33, numHeads: 2, rowStride: 67, firstRow: 0, numRows: 67, cols: 33 },
    { tokens: 2, numHeads: 5, rowStride: 40, firstRow: 7, numRows: 33, cols: 130 },
    { tokens: 5, numHeads: 2, rowStride: 256, firstRow: 128, numRows: 128, cols: 512 }, // a head of DeepSeek's
  ])("$tokens tokens, $numHeads heads, $numRows of $rowStride rows, $cols columns", (at) => {
    return compare("F32", { ...at, outputs });
  });

  test("a random shape", () => {
    const { random } = bench;
    const [firstRow, numRows] = [random.int(0, 9), random.int(1, 70)];
    const rowStride = firstRow + numRows + random.int(0, 9);
    const sizes = { tokens: random.int(1, 40), numHeads: random.int(1, 6), cols: random.int(1, 90) };
    return compare("F32", { ...sizes, rowStride, firstRow, numRows, outputs });
  });
});

test("more heads than one dispatch takes are refused", () => {
  const matrix = { dtype: "F32", rows: 65_536, quadsPerRow: 1, buffer: bench.canaries(64) } as const;
  const part: HeadRows = {
    matrix,
    numHeads: 65_536,
    rowStride: 1,
    firstRow: 0,
    numRows: 1,
    numCols: 4,
    outputs: "rows",
  };
  const vectors = { buffer: bench.canaries(64), at: 0, stride: 4, tokenStride: 16 };
  expect(() => headMatmul(bench.host(), part, vectors, vectors, bench.step(0, 1))).toThrow(UnsupportedError);
});

test.each([
  { numHeads: 3, rowStride: 4, firstRow: 0, numRows: 4 },
  { numHeads: 2, rowStride: 4, firstRow: 1, numRows: 4 },
])("a part that is not in the matrix is refused: %o", (sizes) => {
  const matrix = bench.matrix(randomMatrix(bench.random, "F32", 8, 4));
  const buffer = bench.canaries(64);
  const part: HeadRows = { ...sizes, matrix, numCols: 4, outputs: "rows" };
  const vectors = { buffer, at: 0, stride: 4, tokenStride: 16 };
  expect(() => headMatvec(bench.host(), part, vectors, vectors)).toThrow(UsageError);
  expect(() => headMatmul(bench.host(), part, vectors, vectors, bench.step(0, 1))).toThrow(UsageError);
});
