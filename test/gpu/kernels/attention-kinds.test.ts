/** Attention as some families have it: part of a head turns, or neighbours do; sinks, gates, a scale; norms over all heads. */
import { describe, expect, test } from "vitest";
import { attentionDecode } from "../../../src/kernels/attention-decode.ts";
import { attentionPrefill } from "../../../src/kernels/attention-prefill.ts";
import { kvWrite } from "../../../src/kernels/kv-write.ts";
import { wideNorm } from "../../../src/kernels/wide-norm.ts";
import { attention, prepareHeads } from "../../reference/attention.ts";
import { rmsNorm } from "../../reference/norm.ts";
import { CANARY, inRows, normals, useBench, written } from "./harness.ts";
import { type HeadChoices, type HeadSizes, paddedHead, randomHeads, ringBuffers, ringFloats } from "./heads-fixture.ts";

const bench = useBench();

interface Extras {
  readonly sinks?: boolean;
  readonly gated?: boolean;
  readonly scale?: number;
}

const SIZES: HeadSizes = { numHeads: 6, numKvHeads: 2, headDim: 20 };
const TURNS: readonly Omit<HeadChoices, "qkNorm" | "positions">[] = [
  { ropeDims: 8 },
  { interleaved: true },
  { interleaved: true, ropeDims: 6 },
];
const EXTRAS: readonly Extras[] = [
  { sinks: true },
  { gated: true },
  { scale: 0.3 },
  { sinks: true, gated: true, scale: 0.05 },
];

/** The extras for the kernel and for the reference; `gates` [tokens, H, d]. */
function randomExtras({ sinks, gated, scale }: Extras, tokens: number, { numHeads, headDim }: HeadSizes) {
  const sinkScores = sinks ? normals(bench.random, numHeads, 2) : undefined;
  const gates = gated ? normals(bench.random, tokens * numHeads * headDim, 3) : undefined;
  return {
    heads: { sinks: sinkScores && bench.floats(sinkScores), gated, scale },
    reference: { sinks: sinkScores, gates, scale },
  };
}

describe.each([...TURNS.map((turn) => ({ ...turn, qkNorm: true })), { ropeDims: 4, qkNorm: false }])("%o", (turn) => {
  const choices: HeadChoices = { positions: true, ...turn };

  test("decode", () => decode(SIZES, choices, {}, 37, null));

  test("kv-write", async () => {
    const [pos, tokens, capacity] = [29, 7, 40];
    const { numHeads, numKvHeads, headDim } = SIZES;
    const width = (numHeads + 2 * numKvHeads) * headDim;
    const qkv = normals(bench.random, tokens * width, 1.5);
    const { heads, reference } = randomHeads(bench, SIZES, choices, pos, tokens);
    const rowWidth = numKvHeads * paddedHead(headDim);
    const kv = { k: bench.canaries(capacity * rowWidth), v: bench.canaries(capacity * rowWidth), capacity };
    const buffer = bench.floats(qkv);
    const run = kvWrite(bench.host(), { heads, kv, qkv: buffer, qkvStride: width, step: bench.step(pos, tokens) });
    const [after, keys] = await bench.run([run(tokens)], buffer, kv.k);
    const positions = Array.from({ length: tokens }, (_, t) => pos + t);
    const { q, k } = prepareHeads({ ...reference, qkv, positions });
    const queries = positions.flatMap((_, t) => [...after!.subarray(t * width, t * width + numHeads * headDim)]);
    bench.agrees(queries, q, "queries");
    bench.agrees(keys!.subarray(pos * rowWidth, (pos + tokens) * rowWidth), k, "keys"); // 20 is whole quads
    expect(keys!.subarray(0, pos * rowWidth).every((value) => value === CANARY)).toBe(true);
  });
});

/** One token at `pos` over random keys and values. */
async function decode(sizes: HeadSizes, choices: HeadChoices, extras: Extras, pos: number, window: number | null) {
  const { numHeads, numKvHeads, headDim } = sizes;
  const kvWidth = numKvHeads * headDim;
  const qkv = normals(bench.random, numHeads * headDim + 2 * kvWidth, 1.5);
  const cache = [0, 1].map(() => normals(bench.random, pos * kvWidth));
  const { heads, reference } = randomHeads(bench, sizes, choices, pos, 1);
  const own = randomExtras(extras, 1, sizes);
  const capacity = pos + 3;
  const rings = cache.map((rows) => ringFloats(rows, sizes, pos, capacity, 1e4));
  const out = bench.canaries(numHeads * headDim);
  const command = attentionDecode(bench.host(), {
    heads: { ...heads, ...own.heads },
    window,
    kv: ringBuffers(bench, rings[0]!, rings[1]!, capacity),
    qkv: bench.floats([...qkv, ...(own.reference.gates ?? [])]),
    out,
    step: bench.step(pos, 1),
  });
  const { q, k, v } = prepareHeads({ ...reference, qkv, positions: [pos] });
  const [keys, values] = [
    [...cache[0]!, ...k],
    [...cache[1]!, ...v],
  ];
  const expected = attention({ ...sizes, ...own.reference, q, k: keys, v: values, positions: [pos], window });
  bench.agrees(written(await bench.result([command], out), { rows: 1, cols: numHeads * headDim }), expected);
}

describe.each(EXTRAS)("%o", (extras) => {
  test.each([
    [0, null],
    [70, null],
    [140, 33],
  ])("decode at %i, window %s", (pos, window) => decode(SIZES, { qkNorm: true, positions: true }, extras, pos, window));

  test("decode, heads of a width that is no whole quads", () => {
    const sizes = { numHeads: 3, numKvHeads: 1, headDim: 14 };
    return decode(sizes, { qkNorm: false, positions: false }, extras, 9, null);
  });

  test.each([
    [0, 5, null],
    [66, 9, 30],
  ])("prefill from %i, %i tokens, window %s", async (pos, tokens, window) => {
    const { numHeads, numKvHeads, headDim } = SIZES;
    const width = numHeads * headDim;
    const q = normals(bench.random, tokens * width, 1.5);
    const [k, v] = [0, 1].map(() => normals(bench.random, (pos + tokens) * numKvHeads * headDim));
    const { heads } = randomHeads(bench, SIZES, { qkNorm: false, positions: false }, 0, 1);
    const own = randomExtras(extras, tokens, SIZES);
    const [gateAt, qkvStride] = [width + 2 * numKvHeads * headDim, 2 * width + 2 * numKvHeads * headDim + 2];
    const qkv = inRows(q, width, qkvStride, 0, 1e4);
    own.reference.gates?.forEach((gate, i) => {
      qkv[Math.floor(i / width) * qkvStride + gateAt + (i % width)] = gate;
    });
    const capacity = pos + tokens;
    const rings = [k!, v!].map((rows) => ringFloats(rows, SIZES, capacity, capacity, 1e4));
    const out = bench.canaries(tokens * width);
    const command = attentionPrefill(bench.host(), {
      heads: { ...heads, ...own.heads },
      window,
      kv: ringBuffers(bench, rings[0]!, rings[1]!, capacity),
      qkv: bench.floats(qkv),
      qkvStride,
      out,
      outStride: width,
      step: bench.step(pos, tokens),
    })(tokens);
    const positions = Array.from({ length: tokens }, (_, t) => pos + t);
    const expected = attention({ ...SIZES, ...own.reference, q, k: k!, v: v!, positions, window });
    bench.agrees(written(await bench.result([command], out), { rows: tokens, cols: width }), expected);
  });
});

test.each([
  { qCols: 1, kCols: 1, tokens: 1 },
  { qCols: 130, kCols: 70, tokens: 3 },
  { qCols: 64, kCols: 300, tokens: 2 },
])("a norm over $qCols of queries and one over $kCols of keys, $tokens tokens", async ({ qCols, kCols, tokens }) => {
  const stride = qCols + kCols + 9;
  const qkv = normals(bench.random, tokens * stride);
  const [qGain, kGain] = [normals(bench.random, qCols), normals(bench.random, kCols)];
  const buffer = bench.floats(qkv);
  const gains = { qGain: bench.floats(qGain), kGain: bench.floats(kGain) };
  const run = wideNorm(bench.host(), { qCols, kCols, ...gains, qkv: buffer, stride, eps: 1e-3 });
  const after = await bench.result([run(tokens)], buffer);
  const expected = Float64Array.from(qkv);
  for (let t = 0; t < tokens; t++) {
    const row = t * stride;
    expected.set(rmsNorm(qkv.subarray(row, row + qCols), qGain, 1e-3), row);
    expected.set(rmsNorm(qkv.subarray(row + qCols, row + qCols + kCols), kGain, 1e-3), row + qCols);
  }
  bench.agrees(after.subarray(0, qkv.length), expected);
});
