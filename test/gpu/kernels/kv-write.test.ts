import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../../../src/errors.ts";
import { kvWrite } from "../../../src/kernels/kv-write.ts";
import { prepareHeads } from "../../reference/attention.ts";
import { CANARY, inRows, normals, untouched, useBench } from "./harness.ts";
import { HEAD_CHOICES, type HeadChoices, type HeadSizes, paddedHead, randomHeads } from "./heads-fixture.ts";

const bench = useBench();

interface Case extends HeadSizes {
  readonly pos: number;
  readonly tokens: number;
  readonly capacity: number;
}

/** A chunk through the kernel and the reference. */
async function compare(at: Case, choices: HeadChoices): Promise<void> {
  const { numHeads, numKvHeads, headDim, pos, tokens, capacity } = at;
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const stride = width + 3;
  const qkv = normals(bench.random, tokens * width, 1.5);
  const { heads, reference } = randomHeads(bench, at, choices, pos, tokens);
  const rowWidth = numKvHeads * paddedHead(headDim);
  const kv = { k: bench.canaries(capacity * rowWidth), v: bench.canaries(capacity * rowWidth), capacity };
  const buffer = bench.floats(inRows(qkv, width, stride, 0, CANARY));
  const run = kvWrite(bench.host(), { heads, kv, qkv: buffer, qkvStride: stride, step: bench.step(pos, tokens) });
  const [after, keys, values] = await bench.run([run(tokens)], buffer, kv.k, kv.v);

  const positions = Array.from({ length: tokens }, (_, t) => pos + t);
  const { q, k, v } = prepareHeads({ ...reference, qkv, positions });
  const queryWidth = numHeads * headDim;
  const queries = positions.flatMap((_, t) => [...after!.subarray(t * stride, t * stride + queryWidth)]);
  bench.agrees(queries, q, "queries");
  // What is not a query stays as it was.
  const before = inRows(qkv, width, stride, 0, CANARY);
  for (let t = 0; t < tokens; t++) {
    const rest = [t * stride + queryWidth, (t + 1) * stride] as const;
    expect(after!.subarray(...rest)).toEqual(before.subarray(...rest));
  }
  bench.agrees(ringRows(keys!, at), k, "keys");
  expect(ringRows(values!, at)).toEqual(Float32Array.from(v));
}

/** The chunk's rows of a ring [tokens, K * d]; expects that nothing else was written, padding neither. */
function ringRows(ring: Float32Array, { numKvHeads, headDim, pos, tokens, capacity }: Case): Float32Array {
  const rest = ring.slice();
  const rows = Array.from({ length: tokens * numKvHeads }, (_, i) => {
    const row = ((pos + Math.floor(i / numKvHeads)) % capacity) * numKvHeads + (i % numKvHeads);
    const from = row * paddedHead(headDim);
    rest.fill(CANARY, from, from + headDim);
    return [...ring.subarray(from, from + headDim)];
  });
  untouched(rest);
  return Float32Array.from(rows.flat());
}

describe.each(HEAD_CHOICES)("head norms $qkNorm, positions $positions", (choices) => {
  test.each<Case>([
    { numHeads: 1, numKvHeads: 1, headDim: 2, pos: 0, tokens: 1, capacity: 1 },
    { numHeads: 6, numKvHeads: 2, headDim: 20, pos: 3, tokens: 5, capacity: 9 },
    { numHeads: 2, numKvHeads: 1, headDim: 6, pos: 0, tokens: 33, capacity: 40 },
    { numHeads: 4, numKvHeads: 4, headDim: 64, pos: 100, tokens: 2, capacity: 200 },
    { numHeads: 3, numKvHeads: 1, headDim: 128, pos: 7, tokens: 3, capacity: 16 },
    { numHeads: 1, numKvHeads: 1, headDim: 256, pos: 1, tokens: 2, capacity: 4 },
  ])("$tokens tokens from $pos, $numHeads/$numKvHeads heads of $headDim", (at) => compare(at, choices));

  test("a ring of fewer rows than positions", () => {
    return compare({ numHeads: 4, numKvHeads: 2, headDim: 10, pos: 29, tokens: 7, capacity: 8 }, choices);
  });

  test("a random case", () => {
    const { random } = bench;
    const numKvHeads = random.int(1, 3);
    const sizes = { numHeads: numKvHeads * random.int(1, 4), numKvHeads, headDim: 2 * random.int(1, 50) };
    const tokens = random.int(1, 12);
    return compare({ ...sizes, pos: random.int(0, 500), tokens, capacity: tokens + random.int(0, 10) }, choices);
  });
});

test("no token writes nothing", async () => {
  const sizes = { numHeads: 1, numKvHeads: 1, headDim: 4 };
  const { heads } = randomHeads(bench, sizes, { qkNorm: false, positions: false }, 0, 1);
  const [k, v, qkv] = [bench.canaries(4), bench.canaries(4), bench.canaries(12)];
  const run = kvWrite(bench.host(), { heads, kv: { k, v, capacity: 1 }, qkv, qkvStride: 12, step: bench.step(0, 0) });
  for (const output of await bench.run([run(0)], k, v, qkv)) untouched(output);
});

test.each([7, 258])("heads of %i elements are refused", (headDim) => {
  const sizes = { numHeads: 1, numKvHeads: 1, headDim };
  const { heads } = randomHeads(bench, sizes, { qkNorm: false, positions: false }, 0, 1);
  const [k, v, qkv] = [bench.canaries(4), bench.canaries(4), bench.canaries(12)];
  const site = { heads, kv: { k, v, capacity: 1 }, qkv, qkvStride: 12, step: bench.step(0, 1) };
  expect(() => kvWrite(bench.host(), site)).toThrow(UnsupportedError);
});
