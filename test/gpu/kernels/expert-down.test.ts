import { expect, test } from "vitest";
import { expertDown } from "../../../src/kernels/expert-down.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";
import { matvec } from "../../reference/matvec.ts";
import { EXPERT_CASES, EXPERT_TITLE, type ExpertSizes, type RandomExperts, randomExperts } from "./experts-fixture.ts";
import { ENGINE_TUNINGS, inRows, normals, TEST_TUNING, useBench, wordsOf, written } from "./harness.ts";

const bench = useBench();

interface Token {
  readonly chosen: readonly number[];
  readonly weights: Float32Array;
  /** [topK, inner] */
  readonly act: Float32Array;
}

function randomToken({ inner }: RandomExperts, chosen: readonly number[]): Token {
  const weights = Float32Array.from(bench.random.randomFloats(chosen.length, 0, 1));
  return { chosen, weights, act: normals(bench.random, chosen.length * inner, 1 / Math.sqrt(inner)) };
}

async function run(experts: RandomExperts, { chosen, weights, act }: Token, tuning = TEST_TUNING) {
  const { layer, down, slots, inner, width } = experts;
  const routingAt = 9;
  const record = [...chosen, ...chosen.map((expert) => slots[expert]!), ...wordsOf(weights)];
  const actStride = Math.ceil(inner / 4) * 4 + 8;
  const out = bench.canaries(width + 6);
  const command = expertDown(bench.host(tuning), {
    layer,
    down,
    topK: chosen.length,
    routing: bench.words([...new Uint32Array(routingAt), ...record]),
    routingAt,
    act: bench.floats(inRows(act, inner, actStride, 0, 1e3)),
    actStride,
    out,
  });
  return written(await bench.result([command], out), { rows: 1, cols: width });
}

function expected(experts: RandomExperts, { chosen, weights, act }: Token): Float64Array {
  const out = new Float64Array(experts.width);
  for (const [rank, expert] of chosen.entries()) {
    if (experts.slots[expert] === ABSENT) continue;
    const own = act.subarray(rank * experts.inner, (rank + 1) * experts.inner);
    for (const [i, value] of matvec(own, experts.weights(expert).down).entries()) out[i]! += weights[rank]! * value;
  }
  return out;
}

async function compare(sizes: ExpertSizes, tuning?: { lanes: number; rows: number }): Promise<void> {
  const experts = randomExperts(bench, sizes);
  for (const chosen of [experts.resident, experts.resident.slice(-1)]) {
    const token = randomToken(experts, chosen);
    bench.agrees(await run(experts, token, tuning), expected(experts, token));
  }
}

test.each(EXPERT_CASES)(EXPERT_TITLE, (sizes) => compare(sizes));

test.each(ENGINE_TUNINGS)("with $lanes lanes, $rows rows", (tuning) => compare(EXPERT_CASES[4]!, tuning));

test("more rows than one grid dimension has workgroups", () => {
  const sizes = { dtypes: ["F16", "F16", "F16"] as const, width: 66_001, inner: 2 };
  return compare({ ...sizes, numExperts: 2, numSlots: 2, numBindings: 2 }, { lanes: 1, rows: 1 });
});

test("an absent expert adds nothing", async () => {
  const experts = randomExperts(bench, { ...EXPERT_CASES[3]!, numSlots: 4 });
  const absent = [...experts.slots.keys()].filter((expert) => experts.slots[expert] === ABSENT);
  const [a, b] = experts.resident;
  const token = randomToken(experts, [absent[0]!, a!, absent[1]!, b!]);
  const out = await run(experts, token);
  bench.agrees(out, expected(experts, token));
  const { inner } = experts;
  const present = {
    chosen: [a!, b!],
    weights: Float32Array.of(token.weights[1]!, token.weights[3]!),
    act: Float32Array.of(...token.act.subarray(inner, 2 * inner), ...token.act.subarray(3 * inner)),
  };
  expect(out).toEqual(await run(experts, present));
  expect((await run(experts, randomToken(experts, absent))).every((value) => value === 0)).toBe(true);
});

test("the same bits every time", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[1]!);
  const token = randomToken(experts, experts.resident);
  const out = await run(experts, token);
  for (let i = 0; i < 3; i++) expect(await run(experts, token)).toEqual(out);
});
