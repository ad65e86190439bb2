import { describe, expect, test } from "vitest";
import { attentionDecode } from "../../../src/kernels/attention-decode.ts";
import * as reference from "../../reference/attention.ts";
import { CANARY, inRows, normals, useBench, written } from "./harness.ts";
import {
  HEAD_CHOICES,
  type HeadChoices,
  type HeadSizes,
  paddedHead,
  randomHeads,
  ringBuffers,
  ringFloats,
} from "./heads-fixture.ts";

const bench = useBench();

interface Case extends HeadSizes {
  readonly pos: number;
  /** `null` = all. */
  readonly window: number | null;
  readonly capacity: number;
}

/** One token through the kernel and the reference, caches included. */
async function compare(at: Case, choices: HeadChoices): Promise<void> {
  const { random } = bench;
  const { numHeads, numKvHeads, headDim, pos, window, capacity } = at;
  const kvWidth = numKvHeads * headDim;
  const qkv = normals(random, numHeads * headDim + 2 * kvWidth, 1.5);
  const cache = { k: normals(random, pos * kvWidth), v: normals(random, pos * kvWidth) };
  const { heads, reference: settings } = randomHeads(bench, at, choices, pos, 1);
  const k = ringFloats(cache.k, at, pos, capacity, 1e4);
  const v = ringFloats(cache.v, at, pos, capacity, 1e4); // a row that must not be read would show
  const kv = ringBuffers(bench, k, v, capacity);
  const out = bench.canaries(numHeads * headDim + 6);
  const step = bench.step(pos, 1);
  const command = attentionDecode(bench.host(), { heads, window, kv, qkv: bench.floats(qkv), out, step });
  const [result, keys, values] = await bench.run([command], out, kv.k, kv.v);

  const expected = reference.attentionDecode({ ...settings, qkv, pos, cache, window });
  bench.agrees(written(result!, { rows: 1, cols: numHeads * headDim }), expected.out, "out");
  // The cache: one row written, its padding zero, every other row as it was.
  const width = numKvHeads * paddedHead(headDim);
  const row = (pos % capacity) * width;
  const newKey = inRows(expected.kRow, headDim, paddedHead(headDim), 0, 0);
  bench.agrees(keys!.subarray(row, row + width), newKey, "key");
  expect(values!.subarray(row, row + width)).toEqual(inRows(expected.vRow, headDim, paddedHead(headDim), 0, 0));
  for (const [after, before] of [
    [keys!, k],
    [values!, v],
  ] as const) {
    const rest = before.slice();
    rest.set(after.subarray(row, row + width), row);
    expect(after.subarray(0, before.length)).toEqual(rest);
  }
}

const GROUPED: HeadSizes = { numHeads: 6, numKvHeads: 2, headDim: 20 };

describe.each(HEAD_CHOICES)("head norms $qkNorm, positions $positions", (choices) => {
  test.each<Case>([
    { ...GROUPED, pos: 0, window: null, capacity: 1 },
    { ...GROUPED, pos: 1, window: null, capacity: 8 },
    { ...GROUPED, pos: 63, window: null, capacity: 64 },
    { ...GROUPED, pos: 200, window: null, capacity: 201 },
    { numHeads: 4, numKvHeads: 4, headDim: 64, pos: 70, window: 33, capacity: 80 },
    { numHeads: 5, numKvHeads: 1, headDim: 128, pos: 33, window: 100, capacity: 34 },
    { numHeads: 1, numKvHeads: 1, headDim: 2, pos: 9, window: 1, capacity: 4 },
    { numHeads: 2, numKvHeads: 1, headDim: 6, pos: 130, window: 65, capacity: 65 },
    { numHeads: 2, numKvHeads: 2, headDim: 256, pos: 5, window: 3, capacity: 7 },
  ])("$numHeads/$numKvHeads heads of $headDim at position $pos, window $window, ring of $capacity", (at) =>
    compare(at, choices),
  );

  test("a random case", () => {
    const { random } = bench;
    const numKvHeads = random.int(1, 3);
    const window = random.int(1, 90);
    const sizes = { numHeads: numKvHeads * random.int(1, 4), numKvHeads, headDim: 2 * random.int(1, 50) };
    return compare({ ...sizes, pos: random.int(0, 300), window, capacity: window + random.int(0, 20) }, choices);
  });
});

describe("ring: positions beyond the capacity lie over old ones", () => {
  test.each([
    { pos: 16, window: 16, capacity: 16 },
    { pos: 31, window: 16, capacity: 16 },
    { pos: 1000, window: 16, capacity: 16 },
    { pos: 1001, window: 70, capacity: 143 },
  ])("position $pos, window $window, capacity $capacity", (at) => {
    return compare({ ...GROUPED, ...at }, { qkNorm: true, positions: true });
  });
});

test("a window that holds all there is gives the bits of none", async () => {
  const { random } = bench;
  const pos = 40;
  const { heads } = randomHeads(bench, GROUPED, { qkNorm: true, positions: true }, pos, 1);
  const rows = normals(random, pos * 40);
  const qkv = bench.floats(normals(random, 200));
  const results: Float32Array[] = [];
  for (const window of [null, 41, 42, 5000]) {
    const ring = ringFloats(rows, GROUPED, pos, 48, 0);
    const out = bench.canaries(120);
    const kv = ringBuffers(bench, ring, ring, 48);
    const command = attentionDecode(bench.host(), { heads, window, kv, qkv, out, step: bench.step(pos, 1) });
    results.push((await bench.result([command], out)).slice());
  }
  for (const result of results) expect(result).toEqual(results[0]);
  expect(results[0]).not.toContain(CANARY);
});

test("scores far apart: the largest wins, nothing overflows", async () => {
  const sizes = { numHeads: 1, numKvHeads: 1, headDim: 4 };
  const { heads } = randomHeads(bench, sizes, { qkNorm: false, positions: false }, 3, 1);
  // Scores -500, 0, 500 and, of the new key, 400.
  const k = Float32Array.of(-10, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0);
  const v = Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 5, 6, 0, 0, 0, 0);
  const kv = ringBuffers(bench, k, v, 4);
  const qkv = bench.floats([100, 0, 0, 0, 8, 0, 0, 0, 9, 9, 9, 9]);
  const out = bench.canaries(4);
  const site = { heads, window: null, kv, qkv, out, step: bench.step(3, 1) };
  const result = await bench.result([attentionDecode(bench.host(), site)], out);
  expect([...result]).toEqual([3, 4, 5, 6]);
});
