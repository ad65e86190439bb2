import { expect, test } from "vitest";
import { RoutingTrace } from "../../../src/pager/routing-trace.ts";

test("one row a rank: turn, phase, step, layer, rank, expert, weight", () => {
  const trace = new RoutingTrace();
  trace.start();
  trace.add(0, 7, 2, [5, 3], [0.75, 0.25]);
  trace.add(1, 8, 2, new Uint32Array([1]), new Float32Array([0.5]));
  expect(trace.take()).toEqual([
    [0, 0, 7, 2, 0, 5, 0.75],
    [0, 0, 7, 2, 1, 3, 0.25],
    [0, 1, 8, 2, 0, 1, 0.5],
  ]);
});

test("a prefill after decoding opens a turn; chunks and layers of one prefill do not", () => {
  const trace = new RoutingTrace();
  trace.start();
  for (const phase of [0, 0, 1, 1, 0, 0, 1, 0] as const) trace.add(phase, 0, 0, [0], [1]);
  expect(trace.take().map(([turn]) => turn)).toEqual([0, 0, 0, 0, 1, 1, 1, 2]);
});

test("nothing is recorded before start and after take, and start begins anew", () => {
  const trace = new RoutingTrace();
  trace.add(0, 0, 0, [1], [1]);
  expect(trace.take()).toEqual([]);
  trace.start();
  trace.add(1, 0, 0, [1], [1]);
  trace.add(0, 1, 0, [1], [1]);
  trace.start();
  trace.add(0, 2, 0, [4], [1]);
  expect(trace.take()).toEqual([[0, 0, 2, 0, 0, 4, 1]]);
  trace.add(0, 3, 0, [1], [1]);
  expect(trace.take()).toEqual([]);
});
