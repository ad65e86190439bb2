import { expect, test } from "vitest";
import { expertMatmulDown } from "../../../src/kernels/expert-matmul-down.ts";
import { matvec } from "../../reference/matvec.ts";
import { EXPERT_CASES, EXPERT_TITLE, type RandomExperts, randomExperts } from "./experts-fixture.ts";
import { randomChoices, tileBuffers } from "./grouped-fixture.ts";
import { CANARY, inRows, normals, untouched, useBench, written } from "./harness.ts";

const bench = useBench();

interface Chunk {
  /** [pairs] */
  readonly choices: readonly number[];
  /** [pairs, inner] */
  readonly act: Float32Array;
}

function randomChunk(experts: RandomExperts, tokens: number, topK: number): Chunk {
  const choices = randomChoices(bench, experts, tokens, topK);
  return { choices, act: normals(bench.random, choices.length * experts.inner, 1 / Math.sqrt(experts.inner)) };
}

/** The rows of every pair, [pairs, width]; those of experts outside `wave` stay canaries. */
async function run(experts: RandomExperts, { choices, act }: Chunk, wave: readonly number[]): Promise<Float32Array> {
  const { layer, down, width, inner } = experts;
  const { tiles, pairs, numTiles } = tileBuffers(bench, experts, choices, wave);
  const actStride = Math.ceil(inner / 4) * 4 + 8;
  const zStride = width + 3;
  const z = bench.canaries(choices.length * zStride + 4);
  const command = expertMatmulDown(bench.host(), {
    layer,
    down,
    act: bench.floats(inRows(act, inner, actStride, 0, 1e3)),
    actStride,
    tiles,
    pairs,
    z,
    zStride,
  })(numTiles);
  return written(await bench.result([command], z), { rows: choices.length, cols: width, stride: zStride });
}

test.each(EXPERT_CASES)(EXPERT_TITLE, async (sizes) => {
  const experts = randomExperts(bench, sizes);
  const tokens = bench.random.int(33, 50);
  const chunk = randomChunk(experts, tokens, Math.min(2, experts.resident.length));
  const out = await run(experts, chunk, experts.resident);
  const expected = chunk.choices.flatMap((expert, pair) => {
    const own = chunk.act.slice(pair * experts.inner, (pair + 1) * experts.inner);
    return [...matvec(own, experts.weights(expert).down)];
  });
  bench.agrees(out, expected);
});

test("waves write the rows of their own experts and leave the others", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[5]!);
  const chunk = randomChunk(experts, 21, 3);
  const all = await run(experts, chunk, experts.resident);
  const wave = experts.resident.slice(1, 3);
  const some = await run(experts, chunk, wave);
  for (const [pair, expert] of chunk.choices.entries()) {
    const rows = [pair * experts.width, (pair + 1) * experts.width] as const;
    const expected = wave.includes(expert) ? all.slice(...rows) : new Float32Array(experts.width).fill(CANARY);
    expect(some.slice(...rows)).toEqual(expected);
  }
});

test("a pair's row is the same bits whatever shares its tile, in any order of experts", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[1]!);
  const { width, inner } = experts;
  const chunk = randomChunk(experts, 45, 2);
  const all = await run(experts, chunk, experts.resident);
  expect(await run(experts, chunk, [...experts.resident].reverse())).toEqual(all);
  for (const pair of [0, 27, 89]) {
    const act = chunk.act.slice(pair * inner, (pair + 1) * inner);
    const alone = { choices: chunk.choices.slice(pair, pair + 1), act };
    expect(await run(experts, alone, experts.resident)).toEqual(all.slice(pair * width, (pair + 1) * width));
  }
});

test("no tile writes nothing", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[1]!);
  untouched(await run(experts, randomChunk(experts, 3, 2), []));
});
