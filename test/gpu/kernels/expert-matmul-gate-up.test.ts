import { expect, test } from "vitest";
import { expertMatmulGateUp } from "../../../src/kernels/expert-matmul-gate-up.ts";
import { matvec } from "../../reference/matvec.ts";
import { swiglu } from "../../reference/swiglu.ts";
import { EXPERT_CASES, EXPERT_TITLE, type RandomExperts, randomExperts } from "./experts-fixture.ts";
import { randomChoices, tileBuffers } from "./grouped-fixture.ts";
import { CANARY, inRows, normals, untouched, useBench, written } from "./harness.ts";

const bench = useBench();

interface Chunk {
  readonly topK: number;
  /** [tokens, topK] */
  readonly choices: readonly number[];
  /** [tokens, width] */
  readonly x: Float32Array;
}

function randomChunk(experts: RandomExperts, tokens: number, topK: number): Chunk {
  const x = normals(bench.random, tokens * experts.width, 1 / Math.sqrt(experts.width));
  return { topK, choices: randomChoices(bench, experts, tokens, topK), x };
}

/** The rows of every pair, [tokens, topK, inner]; those of experts outside `wave` stay canaries. */
async function run(
  experts: RandomExperts,
  { topK, choices, x }: Chunk,
  wave: readonly number[],
): Promise<Float32Array> {
  const { layer, gate, up, width, inner } = experts;
  const { tiles, pairs, numTiles } = tileBuffers(bench, experts, choices, wave);
  const xStride = Math.ceil(width / 4) * 4 + 12;
  const actStride = Math.ceil(inner / 4) * 4 + 4;
  const act = bench.canaries(choices.length * actStride + 4);
  const command = expertMatmulGateUp(bench.host(), {
    layer,
    gate,
    up,
    topK,
    x: bench.floats(inRows(x, width, xStride, 8, 1e3)),
    xAt: 2,
    xStride: xStride / 4,
    tiles,
    pairs,
    act,
    actStride,
  })(numTiles);
  const region = { rows: choices.length, cols: inner, stride: actStride };
  return written(await bench.result([command], act), region);
}

function expectedPair(experts: RandomExperts, { topK, choices, x }: Chunk, pair: number): Float64Array {
  const token = Math.floor(pair / topK);
  const own = x.slice(token * experts.width, (token + 1) * experts.width);
  const { gate, up } = experts.weights(choices[pair]!);
  return swiglu(matvec(own, gate), matvec(own, up));
}

test.each(EXPERT_CASES)(EXPERT_TITLE, async (sizes) => {
  const experts = randomExperts(bench, sizes);
  const tokens = bench.random.int(33, 50); // more than a tile holds, where one expert is all there is
  const chunk = randomChunk(experts, tokens, Math.min(2, experts.resident.length));
  const out = await run(experts, chunk, experts.resident);
  const expected = chunk.choices.flatMap((_, pair) => [...expectedPair(experts, chunk, pair)]);
  bench.agrees(out, expected);
});

test("waves write the rows of their own experts and leave the others", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[4]!);
  const chunk = randomChunk(experts, 21, 3);
  const all = await run(experts, chunk, experts.resident);
  const wave = experts.resident.slice(0, 3);
  const some = await run(experts, chunk, wave);
  for (const [pair, expert] of chunk.choices.entries()) {
    const rows = [pair * experts.inner, (pair + 1) * experts.inner] as const;
    const expected = wave.includes(expert) ? all.slice(...rows) : new Float32Array(experts.inner).fill(CANARY);
    expect(some.slice(...rows)).toEqual(expected);
  }
});

test("a pair's row is the same bits whatever shares its tile, in any order of experts", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[1]!);
  const { width, inner } = experts;
  const chunk = randomChunk(experts, 45, 2);
  const all = await run(experts, chunk, experts.resident);
  expect(await run(experts, chunk, [...experts.resident].reverse())).toEqual(all);
  for (const token of [0, 13, 44]) {
    const x = chunk.x.slice(token * width, (token + 1) * width);
    const alone = { topK: 2, choices: chunk.choices.slice(token * 2, token * 2 + 2), x };
    const row = all.slice(token * 2 * inner, (token + 1) * 2 * inner);
    expect(await run(experts, alone, experts.resident)).toEqual(row);
  }
});

test("no tile writes nothing", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[1]!);
  untouched(await run(experts, randomChunk(experts, 3, 2), []));
});
