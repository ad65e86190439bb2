import { describe, expect, test } from "vitest";
import type { DType } from "../../../src/formats/dtype.ts";
import { matvecSwiglu } from "../../../src/kernels/matvec-swiglu.ts";
import { matvec } from "../../reference/matvec.ts";
import { swiglu } from "../../reference/swiglu.ts";
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

/** Random gate and up through the kernel and the reference. */
async function compare(dtypes: readonly [DType, DType], rows: number, width: number, tuning = TEST_TUNING) {
  const { random } = bench;
  const cols = storableCols(dtypes[1], storableCols(dtypes[0], width));
  const x = normals(random, cols, 1 / Math.sqrt(cols)); // gates of about 1
  const [gate, up] = dtypes.map((dtype) => randomMatrix(random, dtype, rows, cols));
  const out = bench.canaries(rows + 7);
  const xBuffer = { buffer: bench.floats(inQuads(x, cols, 1e3)) };
  const command = matvecSwiglu(bench.host(tuning), bench.matrix(gate!), bench.matrix(up!), xBuffer, out);
  const result = written(await bench.result([command], out), { rows: 1, cols: rows });
  bench.agrees(result, swiglu(matvec(x, gate!.values), matvec(x, up!.values)), undefined, 0.3);
  return { command, out, result };
}

describe.each([...DTYPES.map((dtype) => [dtype, dtype] as const), ["BF16", "Q8_0"] as const])("%s and %s", (a, b) => {
  test.each([
    { rows: 1, cols: 1 },
    { rows: 7, cols: 3 },
    { rows: 33, cols: 130 },
    { rows: 80, cols: 64 },
  ])("$rows x $cols", async ({ rows, cols }) => {
    await compare([a, b], rows, cols);
  });
});

test.each(ENGINE_TUNINGS)("a random shape with $lanes lanes, $rows rows", async (tuning) => {
  await compare(["Q8_0", "Q8_0"], bench.random.int(1, 70), bench.random.int(1, 500), tuning);
});

test("more rows than one grid dimension has workgroups", async () => {
  await compare(["F16", "F16"], 66_001, 2, { lanes: 1, rows: 1 });
});

test("the same bits every time", async () => {
  const { command, out, result } = await compare(["F32", "F32"], 41, 300);
  for (let i = 0; i < 5; i++) {
    expect((await bench.result([command], out)).slice(0, result.length)).toEqual(result);
  }
});
