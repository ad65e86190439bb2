/** What becomes of products before they are stored: every kind, in both phases. */
import { describe, test } from "vitest";
import type { Finish } from "../../../src/kernels/finish.ts";
import { matmul } from "../../../src/kernels/matmul.ts";
import { matvec } from "../../../src/kernels/matvec.ts";
import { relu2 } from "../../reference/activation.ts";
import * as reference from "../../reference/matmul.ts";
import { inQuads, inRows, normals, randomMatrix, useBench, written } from "./harness.ts";

const bench = useBench();

/** A finish for the kernel, and what it makes of products [tokens, rows] in float64. */
interface Kind {
  readonly finish: Finish;
  readonly of: (products: Float64Array, row: (i: number) => number, token: (i: number) => number) => Float64Array;
  /** What the output holds before, where that counts [tokens, rows]. */
  readonly before?: Float32Array;
}

const GATE = { at: 3, stride: 7 };

const KINDS: Readonly<Record<string, (rows: number, tokens: number) => Kind>> = {
  bias: (rows) => {
    const bias = normals(bench.random, rows);
    const finish = { kind: "bias", biases: [bench.floats(bias)] } as const;
    return { finish, of: (products, row) => products.map((value, i) => value + bias[row(i)]!) };
  },
  scale: () => ({
    finish: { kind: "scale", factor: 0.37 },
    of: (products) => products.map((value) => value * Math.fround(0.37)),
  }),
  relu2: () => ({ finish: { kind: "relu2" }, of: relu2 }),
  add: (rows, tokens) => {
    const before = normals(bench.random, rows * tokens);
    return { finish: { kind: "add" }, before, of: (products) => products.map((value, i) => value + before[i]!) };
  },
  "add, gated": (rows, tokens) => {
    const before = normals(bench.random, rows * tokens);
    const gates = normals(bench.random, tokens, 3);
    const gate = { buffer: bench.floats(inRows(gates, 1, GATE.stride, GATE.at, 1e3)), ...GATE };
    const of: Kind["of"] = (products, _, token) =>
      products.map((value, i) => before[i]! + value / (1 + Math.exp(-gates[token(i)]!)));
    return { finish: { kind: "add", gate }, before, of };
  },
};

describe.each(Object.keys(KINDS))("%s", (name) => {
  const kindOf = (rows: number, tokens: number) => KINDS[name]!(rows, tokens);

  test.each([
    [1, 1],
    [23, 70],
    [67, 33],
  ])("matvec, %i x %i", async (rows, cols) => {
    const matrix = randomMatrix(bench.random, "F32", rows, cols);
    const x = normals(bench.random, cols);
    const { finish, of, before } = kindOf(rows, 1);
    const out = before ? bench.floats(inRows(before, rows, rows + 4, 4, 0)) : bench.canaries(rows + 4);
    const segment = { matrix: bench.matrix(matrix), outAt: 4 };
    const command = matvec(bench.host(), [segment], { buffer: bench.floats(inQuads(x, cols)) }, out, finish);
    const expected = of(
      reference.matmul(x, matrix.values, cols),
      (i) => i,
      () => 0,
    );
    const result = await bench.result([command], out);
    bench.agrees(result.subarray(4, 4 + rows), expected, name, Math.sqrt(cols));
  });

  test.each([
    [1, 1, 1],
    [45, 37, 35],
  ])("matmul, %i x %i, %i tokens", async (rows, cols, tokens) => {
    const matrix = randomMatrix(bench.random, "F32", rows, cols);
    const x = normals(bench.random, tokens * cols);
    const { finish, of, before } = kindOf(rows, tokens);
    const stride = rows + 3;
    const out = before ? bench.floats(inRows(before, rows, stride, 2, 0)) : bench.canaries(tokens * stride);
    const [site, xStride] = [
      { matrix: bench.matrix(matrix), xAt: 0, outAt: 2, outStride: stride, finish },
      Math.ceil(cols / 4),
    ];
    const sources = { x: bench.floats(inQuads(x, cols)), xStride, out, step: bench.step(0, tokens) };
    const result = await bench.result([matmul(bench.host(), { ...site, ...sources })(tokens)], out);
    const own = Float32Array.from(
      { length: tokens * rows },
      (_, i) => result[Math.floor(i / rows) * stride + 2 + (i % rows)]!,
    );
    const expected = of(
      reference.matmul(x, matrix.values, cols),
      (i) => i % rows,
      (i) => Math.floor(i / rows),
    );
    bench.agrees(own, expected, name, Math.sqrt(cols));
  });
});

test("a bias for each of three matrices", async () => {
  const [rows, cols] = [[5, 20, 3], 38];
  const matrices = rows.map((count) => randomMatrix(bench.random, "F32", count, cols));
  const biases = rows.map((count) => normals(bench.random, count));
  const x = normals(bench.random, cols);
  const out = bench.canaries(28);
  const segments = matrices.map((matrix, i) => ({ matrix: bench.matrix(matrix), outAt: [0, 5, 25][i]! }));
  const finish: Finish = { kind: "bias", biases: biases.map((bias) => bench.floats(bias)) };
  const command = matvec(bench.host(), segments, { buffer: bench.floats(inQuads(x, cols)) }, out, finish);
  const expected = matrices.flatMap(({ values }, i) => [
    ...reference.matmul(x, values, cols).map((value, row) => value + biases[i]![row]!),
  ]);
  bench.agrees(written(await bench.result([command], out), { rows: 1, cols: 28 }), expected);
});
