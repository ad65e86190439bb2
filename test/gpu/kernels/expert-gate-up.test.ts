import { expect, test } from "vitest";
import { expertGateUp } from "../../../src/kernels/expert-gate-up.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";
import { matvec } from "../../reference/matvec.ts";
import { swiglu } from "../../reference/swiglu.ts";
import { EXPERT_CASES, EXPERT_TITLE, type ExpertSizes, type RandomExperts, randomExperts } from "./experts-fixture.ts";
import { ENGINE_TUNINGS, inRows, normals, TEST_TUNING, useBench, written } from "./harness.ts";

const bench = useBench();

/** One token's `x` through the experts `chosen`. */
async function run(experts: RandomExperts, chosen: readonly number[], x: Float32Array, tuning = TEST_TUNING) {
  const { layer, gate, up, slots, inner, width } = experts;
  const topK = chosen.length;
  const routingAt = 6;
  const record = [...chosen, ...chosen.map((expert) => slots[expert]!), ...new Uint32Array(topK)];
  const actStride = Math.ceil(inner / 4) * 4 + 4;
  const act = bench.canaries(topK * actStride + 4);
  const xStride = Math.ceil(width / 4) * 4 + 16;
  const command = expertGateUp(bench.host(tuning), {
    layer,
    gate,
    up,
    topK,
    x: { buffer: bench.floats(inRows(x, width, xStride, 12, 1e3)) },
    xAt: 3,
    routing: bench.words([...new Uint32Array(routingAt), ...record]),
    routingAt,
    act,
    actStride,
  });
  return written(await bench.result([command], act), { rows: topK, cols: inner, stride: actStride });
}

function expected(experts: RandomExperts, chosen: readonly number[], x: Float32Array): Float64Array {
  const out = new Float64Array(chosen.length * experts.inner);
  for (const [rank, expert] of chosen.entries()) {
    if (experts.slots[expert] === ABSENT) continue; // zeros
    const { gate, up } = experts.weights(expert);
    out.set(swiglu(matvec(x, gate), matvec(x, up)), rank * experts.inner);
  }
  return out;
}

async function compare(sizes: ExpertSizes, tuning?: { lanes: number; rows: number }): Promise<void> {
  const experts = randomExperts(bench, sizes);
  const x = normals(bench.random, experts.width, 1 / Math.sqrt(experts.width));
  for (const chosen of [experts.resident, experts.resident.slice(-1)]) {
    bench.agrees(await run(experts, chosen, x, tuning), expected(experts, chosen, x));
  }
}

test.each(EXPERT_CASES)(EXPERT_TITLE, (sizes) => compare(sizes));

test.each(ENGINE_TUNINGS)("with $lanes lanes, $rows rows", (tuning) => compare(EXPERT_CASES[4]!, tuning));

test("an absent expert leaves zeros, the others their results", async () => {
  const experts = randomExperts(bench, { ...EXPERT_CASES[3]!, numSlots: 4 });
  const x = normals(bench.random, experts.width);
  const absent = [...experts.slots.keys()].filter((expert) => experts.slots[expert] === ABSENT);
  const [a, b] = experts.resident;
  const chosen = [absent[0]!, a!, absent[1]!, b!];
  const out = await run(experts, chosen, x);
  bench.agrees(out, expected(experts, chosen, x));
  expect(out.subarray(0, experts.inner).every((value) => value === 0)).toBe(true);
  expect((await run(experts, absent, x)).every((value) => value === 0)).toBe(true);
});

test("an expert's row is the same bits at every rank and beside any other", async () => {
  const experts = randomExperts(bench, EXPERT_CASES[4]!);
  const x = normals(bench.random, experts.width);
  const [a, b, c] = experts.resident as [number, number, number];
  const alone = await run(experts, [a], x);
  const last = await run(experts, [b, c, a], x);
  expect(last.slice(2 * experts.inner)).toEqual(alone);
  expect(await run(experts, [a], x)).toEqual(alone);
});
