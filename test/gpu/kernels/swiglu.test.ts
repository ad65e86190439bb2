import { expect, test } from "vitest";
import { swiglu } from "../../../src/kernels/swiglu.ts";
import * as reference from "../../reference/swiglu.ts";
import { normals, untouched, useBench, written } from "./harness.ts";

const bench = useBench();

test.each([
  { tokens: 1, inner: 1, stride: 4 },
  { tokens: 3, inner: 7, stride: 8 },
  { tokens: 2, inner: 64, stride: 64 },
  { tokens: 5, inner: 129, stride: 132 },
  { tokens: 33, inner: 200, stride: 256 },
])("$tokens x $inner, rows of $stride", async ({ tokens, inner, stride }) => {
  const gateUp = normals(bench.random, tokens * 2 * stride, 4);
  const act = bench.canaries(tokens * stride + 4);
  const out = await bench.result([swiglu(bench.host(), inner, stride, bench.floats(gateUp), act)(tokens)], act);
  const columns = (at: number) =>
    Float32Array.from({ length: tokens * inner }, (_, i) => {
      return gateUp[Math.floor(i / inner) * 2 * stride + at + (i % inner)]!;
    });
  const expected = reference.swiglu(columns(0), columns(stride));
  bench.agrees(written(out, { rows: tokens, cols: inner, stride }), expected);
});

test("gates far from zero stay finite: silu tends to 0 on the left and to the gate on the right", async () => {
  const gates = [-1e4, -1000, -200, -100, -89, -88, -80, -20, 0, 20, 88, 89, 100, 1e4, 1e30];
  const ups = gates.map((_, i) => (i % 2 === 0 ? 1 : -1));
  const stride = 16;
  const gateUp = new Float32Array(2 * stride);
  gateUp.set(gates);
  gateUp.set(ups, stride);
  const act = bench.canaries(stride);
  const run = swiglu(bench.host(), gates.length, stride, bench.floats(gateUp), act);
  const out = written(await bench.result([run(1)], act), { rows: 1, cols: gates.length });
  const expected = reference.swiglu(gates, ups);
  // Relative to the larger of the result and 1e-25: what silu is so far to the left, no sum will ever notice.
  for (const [i, value] of out.entries()) {
    expect(Math.abs(value - expected[i]!), `gate ${gates[i]}`).toBeLessThan(
      1e-5 * Math.max(Math.abs(expected[i]!), 1e-25),
    );
  }
});

test("no token writes nothing", async () => {
  const act = bench.canaries(8);
  untouched(await bench.result([swiglu(bench.host(), 8, 8, bench.floats(new Float32Array(16)), act)(0)], act));
});
