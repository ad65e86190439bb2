/** What every kernel test leans on: submissions, copies and read-backs, and what they leave behind. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DeviceError, UsageError } from "../../../src/errors.ts";
import { type Gpu, openGpu } from "../../../src/gpu/device.ts";
import type { LedgerBuffer } from "../../../src/gpu/ledger.ts";
import { type Command, dispatch } from "../../../src/gpu/queue.ts";
import { STORAGE_USAGE } from "../../../src/gpu/usage.ts";
import { link } from "../../../src/gpu/wgsl.ts";

const SHADER = link(
  `@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(1) fn main() { data[0] += 1u; }`,
  [],
);

let gpu: Gpu;
beforeEach(async () => {
  gpu = await openGpu(navigator.gpu);
});
afterEach(() => gpu.destroy());

const words = (...values: number[]): LedgerBuffer => {
  const buffer = gpu.ledger.create("scratch", "test", values.length * 4, STORAGE_USAGE);
  gpu.queue.write(buffer, 0, new Uint32Array(values));
  return buffer;
};
const all = (buffer: LedgerBuffer) => ({ buffer, offset: 0, bytes: buffer.bytes });
const read = async (...spans: Parameters<Gpu["queue"]["submitAndRead"]>[1]) => {
  return [...new Uint32Array(await gpu.queue.submitAndRead([], spans))];
};
const bind = (buffer: LedgerBuffer) => gpu.pipelines.bind("count", SHADER, {}, { data: { buffer } });

test("writes land where they were meant, views and whole buffers", async () => {
  const buffer = words(1, 2, 3, 4);
  gpu.queue.write(buffer, 4, new Uint32Array([7, 8, 9]).subarray(1));
  expect(await read(all(buffer))).toEqual([1, 8, 9, 4]);
  gpu.queue.write(buffer, 12, new Uint32Array([5]).buffer);
  expect(await read({ buffer, offset: 8, bytes: 8 })).toEqual([9, 5]);
});

test("spans come back one after another, in one submission and one read-back", async () => {
  const [a, b] = [words(1, 2, 3, 4), words(5, 6, 7, 8)];
  const before = { ...gpu.queue.counts };
  const spans = [{ buffer: b, offset: 4, bytes: 8 }, all(a), { buffer: b, offset: 0, bytes: 4 }];
  expect(await read(...spans)).toEqual([6, 7, 1, 2, 3, 4, 5]);
  expect(gpu.queue.counts.submissions - before.submissions).toBe(1);
  expect(gpu.queue.counts.readbacks - before.readbacks).toBe(1);
});

test("copies run in order with what is around them", async () => {
  const [a, b, c] = [words(1, 2, 3, 4), words(0, 0, 0, 0), words(0, 0, 0, 0)];
  const copy = (from: LedgerBuffer, fromOffset: number, to: LedgerBuffer, toOffset: number): Command => {
    return { kind: "copy", from, fromOffset, to, toOffset, bytes: 8 };
  };
  gpu.queue.submit([copy(a, 8, b, 0), copy(b, 0, c, 4), copy(a, 0, b, 0)]);
  expect(await read(all(b), all(c))).toEqual([1, 2, 0, 0, 0, 3, 4, 0]);
});

test("a read-back is a copy: later writes do not change it", async () => {
  const buffer = words(1, 2, 3, 4);
  const bytes = await gpu.queue.submitAndRead([], [all(buffer)]);
  gpu.queue.write(buffer, 0, new Uint32Array(4));
  await gpu.queue.submitAndRead([], [all(buffer)]);
  expect([...new Uint32Array(bytes)]).toEqual([1, 2, 3, 4]);
});

describe("staging", () => {
  test("is used again, grows once, and dispose frees it", async () => {
    const [small, large] = [words(1, 2, 3, 4), words(...new Array(64).fill(9))];
    await read(all(small));
    await read(all(small));
    expect(gpu.ledger.byOwner().staging).toBe(16);
    await read(all(large));
    await read(all(small));
    expect(gpu.ledger.byOwner().staging).toBe(256);
    gpu.queue.dispose();
    expect(gpu.ledger.byOwner().staging).toBeUndefined();
  });

  test("read-backs at the same time do not share it", async () => {
    const buffers = [1, 2, 3].map((n) => words(n, n, n, n));
    expect(await Promise.all(buffers.map((buffer) => read(all(buffer))))).toEqual([1, 2, 3].map((n) => [n, n, n, n]));
    gpu.queue.dispose();
    expect(Object.keys(gpu.ledger.byOwner())).toEqual(["scratch"]);
  });

  test("nothing of it is left when the commands cannot be recorded", async () => {
    const buffer = words(0);
    const early = dispatch(bind(buffer), [1, 1]);
    await expect(gpu.queue.submitAndRead([early], [all(buffer)])).rejects.toThrow(UsageError);
    expect(Object.keys(gpu.ledger.byOwner())).toEqual(["scratch"]);
    await gpu.pipelines.settled();
    await gpu.queue.submitAndRead([early], [all(buffer)]);
  });
});

test("dispatches and their weight bytes are counted; empty grids are left out", async () => {
  const bound = bind(words(0));
  await gpu.pipelines.settled();
  gpu.queue.submit([dispatch(bound, [3, 1], 100), dispatch(bound, [0, 1], 100), dispatch(bound, [1, 0], 100)]);
  gpu.queue.submit([dispatch(bound, [1, 2], 20), dispatch(bound, [1, 1])]);
  expect(gpu.queue.counts).toEqual({ submissions: 2, dispatches: 3, readbacks: 0, weightBytesRead: 120 });
});

test("one pipeline serves all who bind the same text and constants", () => {
  const [a, b] = [bind(words(0)), bind(words(0))];
  expect(b.compiled).toBe(a.compiled);
  expect(b.group).not.toBe(a.group);
});

test.each([
  [{}, "missing [data], not declared []"],
  [{ data: 0, more: 1 }, "missing [], not declared [more]"],
  [{ date: 0 }, "missing [data], not declared [date]"],
])("names that do not fit are refused before any GPU call: %o", (names, expected) => {
  const buffers = Object.fromEntries(Object.keys(names).map((name) => [name, { buffer: words(0) }]));
  const begin = () => gpu.pipelines.bind("count", SHADER, {}, buffers);
  expect(begin).toThrow(UsageError);
  expect(begin).toThrow(`Kernel "count": bindings ${expected}`);
});

test("a device that was closed fails its read-backs by name", async () => {
  const buffer = words(1, 2, 3, 4);
  const reading = gpu.queue.submitAndRead([], [all(buffer)]);
  gpu.destroy();
  await expect(reading).rejects.toThrow(DeviceError);
  expect(gpu.loss.error?.message).toMatch("closed");
});
