import { describe, expect, test } from "vitest";
import { attentionPrefill } from "../../../src/kernels/attention-prefill.ts";
import { attention } from "../../reference/attention.ts";
import { inRows, normals, untouched, useBench, written } from "./harness.ts";
import { type HeadSizes, randomHeads, ringBuffers, ringFloats } from "./heads-fixture.ts";

const bench = useBench();

interface Case extends HeadSizes {
  readonly pos: number;
  readonly tokens: number;
  readonly window: number | null;
  readonly capacity: number;
}

/** Prepared queries [tokens, H * d] over the cache of positions below pos + tokens [pos + tokens, K * d]. */
async function run(at: Case, q: Float32Array, k: Float32Array, v: Float32Array): Promise<Float32Array> {
  const { numHeads, numKvHeads, headDim, pos, tokens, window, capacity } = at;
  const { heads } = randomHeads(bench, at, { qkNorm: false, positions: false }, 0, 1);
  const qkvStride = (numHeads + 2 * numKvHeads) * headDim + 2;
  const outStride = numHeads * headDim + 5;
  const rings = [k, v].map((rows) => ringFloats(rows, at, pos + tokens, capacity, 1e4));
  const out = bench.canaries(tokens * outStride);
  const command = attentionPrefill(bench.host(), {
    heads,
    window,
    kv: ringBuffers(bench, rings[0]!, rings[1]!, capacity),
    qkv: bench.floats(inRows(q, numHeads * headDim, qkvStride, 0, 1e4)),
    qkvStride,
    out,
    outStride,
    step: bench.step(pos, tokens),
  })(tokens);
  return written(await bench.result([command], out), { rows: tokens, cols: numHeads * headDim, stride: outStride });
}

async function compare(at: Case): Promise<void> {
  const { numHeads, numKvHeads, headDim, pos, tokens, window } = at;
  const { random } = bench;
  const q = normals(random, tokens * numHeads * headDim, 1.5);
  const [k, v] = [0, 1].map(() => normals(random, (pos + tokens) * numKvHeads * headDim));
  const positions = Array.from({ length: tokens }, (_, t) => pos + t);
  const expected = attention({ q, k: k!, v: v!, positions, window, numHeads, numKvHeads, headDim });
  bench.agrees(await run(at, q, k!, v!), expected);
}

const GROUPED: HeadSizes = { numHeads: 6, numKvHeads: 2, headDim: 20 };

describe("against float64", () => {
  test.each<Case>([
    { numHeads: 1, numKvHeads: 1, headDim: 2, pos: 0, tokens: 1, window: null, capacity: 1 },
    { ...GROUPED, pos: 0, tokens: 7, window: null, capacity: 7 },
    { ...GROUPED, pos: 60, tokens: 9, window: null, capacity: 100 },
    { ...GROUPED, pos: 140, tokens: 3, window: 65, capacity: 143 },
    { ...GROUPED, pos: 3, tokens: 4, window: 1, capacity: 7 },
    { ...GROUPED, pos: 3, tokens: 4, window: 500, capacity: 7 },
    { numHeads: 4, numKvHeads: 4, headDim: 64, pos: 10, tokens: 5, window: null, capacity: 15 },
    { numHeads: 5, numKvHeads: 1, headDim: 128, pos: 1, tokens: 3, window: 2, capacity: 4 },
    { numHeads: 2, numKvHeads: 1, headDim: 6, pos: 0, tokens: 70, window: 33, capacity: 70 },
    { numHeads: 1, numKvHeads: 1, headDim: 256, pos: 2, tokens: 2, window: null, capacity: 4 },
  ])("$tokens tokens from $pos, $numHeads/$numKvHeads heads of $headDim, window $window", compare);

  test.each([
    { pos: 20, tokens: 5, window: 8, capacity: 12 }, // just as many rows as a chunk needs: window + tokens - 1
    { pos: 1000, tokens: 5, window: 8, capacity: 13 },
    { pos: 150, tokens: 2, window: 100, capacity: 101 },
  ])("a ring of $capacity rows at $pos", (at) => compare({ ...GROUPED, ...at }));

  test("a random case", () => {
    const { random } = bench;
    const numKvHeads = random.int(1, 3);
    const [window, tokens] = [random.int(1, 90), random.int(1, 20)];
    const sizes = { numHeads: numKvHeads * random.int(1, 3), numKvHeads, headDim: 2 * random.int(1, 50) };
    const capacity = window + tokens - 1 + random.int(0, 5);
    return compare({ ...sizes, pos: random.int(0, 200), tokens, window, capacity });
  });
});

test.each([null, 9])("a token's row is the same bits in one chunk, in two and alone (window %s)", async (window) => {
  const { random } = bench;
  const [pos, tokens] = [70, 11];
  const q = normals(random, tokens * 120);
  const [k, v] = [0, 1].map(() => normals(random, (pos + tokens) * 40));
  const of = (first: number, count: number, capacity: number) => {
    const at = { ...GROUPED, pos: pos + first, tokens: count, window, capacity };
    return run(at, q.slice(first * 120, (first + count) * 120), k!, v!);
  };
  const whole = await of(0, tokens, 81);
  expect(await of(0, 4, 90)).toEqual(whole.slice(0, 4 * 120));
  expect(await of(4, 7, 81)).toEqual(whole.slice(4 * 120));
  expect(await of(5, 1, 100)).toEqual(whole.slice(5 * 120, 6 * 120));
});

test("no token writes nothing", async () => {
  const { heads } = randomHeads(bench, GROUPED, { qkNorm: false, positions: false }, 0, 1);
  const kv = ringBuffers(bench, new Float32Array(40), new Float32Array(40), 1);
  const out = bench.canaries(120);
  const site = { heads, window: null, kv, qkv: bench.canaries(200), qkvStride: 200, out, outStride: 120 };
  untouched(await bench.result([attentionPrefill(bench.host(), { ...site, step: bench.step(0, 0) })(0)], out));
});
