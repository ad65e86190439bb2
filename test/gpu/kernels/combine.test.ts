import { expect, test } from "vitest";
import { combine } from "../../../src/kernels/combine.ts";
import * as reference from "../../reference/experts.ts";
import { normals, untouched, useBench, wordsOf, written } from "./harness.ts";

const bench = useBench();

/** The router's record of `weights` [tokens, topK]: ids and slots are of no interest here. */
function record(weights: Float32Array, topK: number): Uint32Array {
  const bits = wordsOf(weights);
  const words = new Uint32Array(weights.length * 3).fill(0xdead_beef);
  for (let token = 0; token < weights.length / topK; token++) {
    words.set(bits.subarray(token * topK, (token + 1) * topK), token * 3 * topK + 2 * topK);
  }
  return words;
}

async function run(z: Float32Array, weights: Float32Array, topK: number, tokens: number, width: number) {
  const out = bench.canaries(tokens * width + 4);
  const [zBuffer, routing] = [bench.floats(z), bench.words(record(weights, topK))];
  const command = combine(bench.host(), width / 4, topK, zBuffer, routing, out)(tokens);
  return written(await bench.result([command], out), { rows: tokens, cols: width });
}

test.each([
  { tokens: 1, topK: 1, width: 4 },
  { tokens: 3, topK: 2, width: 20 },
  { tokens: 7, topK: 8, width: 260 },
  { tokens: 65, topK: 3, width: 64 },
])("$tokens tokens, top $topK, $width wide", async ({ tokens, topK, width }) => {
  const { random } = bench;
  const z = normals(random, tokens * topK * width);
  const weights = Float32Array.from(random.randomFloats(tokens * topK, 0, 1));
  const out = await run(z, weights, topK, tokens, width);
  bench.agrees(out, reference.combine(z, weights, topK));
});

test("ranks are added in order: f32 sums that cancel come out as rank order gives them", async () => {
  const z = Float32Array.of(1e8, 0, 0, 0, 1, 0, 0, 0, -1e8, 0, 0, 0, 3, 0, 0, 0);
  const out = await run(z, Float32Array.of(1, 1, 1, 1), 4, 1, 4);
  expect([...out]).toEqual([3, 0, 0, 0]); // 1e8 + 1 is 1e8 in f32
});

test("a token's result does not depend on the others", async () => {
  const { random } = bench;
  const [tokens, topK, width] = [9, 3, 36];
  const z = normals(random, tokens * topK * width);
  const weights = Float32Array.from(random.randomFloats(tokens * topK, 0, 1));
  const all = await run(z, weights, topK, tokens, width);
  for (const t of [0, 4, 8]) {
    const own = z.slice(t * topK * width, (t + 1) * topK * width);
    const alone = await run(own, weights.slice(t * topK, (t + 1) * topK), topK, 1, width);
    expect(alone).toEqual(all.slice(t * width, (t + 1) * width));
  }
});

test("no token writes nothing", async () => {
  const out = bench.canaries(4);
  const command = combine(bench.host(), 1, 1, bench.floats(new Float32Array(4)), bench.words([0, 0, 0]), out)(0);
  untouched(await bench.result([command], out));
});
