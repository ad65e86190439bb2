/** Params of kernels: written once for equal contents, in as many buffers as they need, gone after a reset. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { create } from "webgpu";
import { UsageError } from "../../../src/errors.ts";
import { type Gpu, openGpu } from "../../../src/gpu/device.ts";
import type { LedgerBuffer } from "../../../src/gpu/ledger.ts";
import { STORAGE_USAGE } from "../../../src/gpu/usage.ts";
import { expertDown } from "../../../src/kernels/expert-down.ts";
import { KernelHost, matrixFragments } from "../../../src/kernels/kernel.ts";
import { matvec } from "../../../src/kernels/matvec.ts";
import { swiglu } from "../../../src/kernels/swiglu.ts";

const ARENA = 64 * 1024;
// Held here: Dawn ends with the last reference to it.
const dawn = create(["backend=null"]);
let gpu: Gpu;
let host: KernelHost;
beforeEach(async () => {
  gpu = await openGpu(dawn);
  host = new KernelHost(gpu, { lanes: 4, rows: 16 });
});
afterEach(() => gpu.destroy());

const buffer = (bytes = 4096): LedgerBuffer => gpu.ledger.create("scratch", "test", bytes, STORAGE_USAGE);
const tables = () => gpu.ledger.byOwner().tables ?? 0;

test("equal params share a place, others take the next, and a full buffer is followed by another", () => {
  const [a, b] = [buffer(), buffer()];
  for (let i = 0; i < 1000; i++) swiglu(host, 8, 8, a, b);
  expect(tables()).toBe(ARENA);
  for (let inner = 1; inner <= ARENA / 256; inner++) swiglu(host, inner, 1024, a, b);
  expect(tables()).toBe(2 * ARENA); // 256 places, and one more
});

test("after a reset nothing is left, and binding works again", () => {
  const [a, b] = [buffer(), buffer()];
  swiglu(host, 8, 8, a, b);
  host.reset();
  expect(tables()).toBe(0);
  host.reset();
  swiglu(host, 8, 8, a, b);
  expect(tables()).toBe(ARENA);
});

test("params that a kernel does not have are refused by name", () => {
  const text = "struct Params { a: u32 }\n@group(0) @binding(0) var<uniform> params: Params;\nfn main() {}";
  expect(() => host.bind("test", text, [], { b: 1 }, {})).toThrow(UsageError);
  expect(() => host.bind("test", text, [], { a: 1, b: 1 }, {})).toThrow(/"b"/);
});

test("a matrix binds under its suffix, so that several fit in one kernel", () => {
  const renames = matrixFragments("Q8_0", "_2").map(({ rename }) => rename);
  expect(renames.slice(0, 2)).toEqual([
    { word: "word_2", weights: "weights_2" },
    { weight4: "weight4_2", word: "word_2" },
  ]);
  expect(renames.slice(2)).toEqual([undefined, undefined]); // helpers, which all matrices of a kernel share
  expect(matrixFragments("F32")).toHaveLength(2);
});

test("slabs in other numbers than 1, 2 and 4 are refused", () => {
  const layer = { slabs: [buffer(), buffer(), buffer()], slotsPerSlab: 1, slotWords: 16 };
  const down = { dtype: "F32" as const, rows: 1, quadsPerRow: 1, word: 0 };
  const site = { layer, down, topK: 1, routing: buffer(), routingAt: 0, act: buffer(), actStride: 4, out: buffer() };
  expect(() => expertDown(host, site)).toThrow(RangeError);
});

test("a dispatch says how many bytes of stored weights it reads", () => {
  const matrix = (rows: number) => ({ dtype: "F16" as const, rows, quadsPerRow: 8, buffer: buffer() });
  const segments = [matrix(4), matrix(6)].map((each, i) => ({ matrix: each, outAt: 4 * i }));
  const command = matvec(host, segments, { buffer: buffer() }, buffer());
  expect(command).toMatchObject({ grid: [1, 1], weightBytes: 10 * 8 * 8 });
});
