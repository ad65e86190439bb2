/** Experts that few families have: without a gate, with biases, with the clamped activation; in both phases. */
import { describe, expect, test } from "vitest";
import { expertDown } from "../../../src/kernels/expert-down.ts";
import { expertGateUp } from "../../../src/kernels/expert-gate-up.ts";
import { expertMatmulDown } from "../../../src/kernels/expert-matmul-down.ts";
import { expertMatmulGateUp } from "../../../src/kernels/expert-matmul-gate-up.ts";
import { expertMatmulUp } from "../../../src/kernels/expert-matmul-up.ts";
import { expertUp } from "../../../src/kernels/expert-up.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";
import { clampedSwiglu, relu2 } from "../../reference/activation.ts";
import { matvec } from "../../reference/matvec.ts";
import { type ExpertSizes, type RandomExperts, randomExperts } from "./experts-fixture.ts";
import { randomChoices, tileBuffers } from "./grouped-fixture.ts";
import { ENGINE_TUNINGS, inRows, normals, TEST_TUNING, useBench, wordsOf, written } from "./harness.ts";

const bench = useBench();

const quads = (cols: number) => Math.ceil(cols / 4);
const plus = (a: ArrayLike<number>, b: ArrayLike<number>) => Float64Array.from(a, (value, i) => value + b[i]!);

/** The first half of an expert, and the second, from the definition. */
interface Kind {
  readonly first: (experts: RandomExperts, expert: number, x: Float32Array) => Float64Array;
  readonly down: (experts: RandomExperts, expert: number, act: Float32Array) => Float64Array;
}

const UNGATED: Kind = {
  first: ({ weights }, expert, x) => relu2(matvec(x, weights(expert).up)),
  down: ({ weights }, expert, act) => matvec(act, weights(expert).down),
};
const BIASED: Kind = {
  first: ({ weights, biases }, expert, x) => {
    const [gate, up] = [weights(expert).gate, weights(expert).up].map((matrix) => matvec(x, matrix));
    return clampedSwiglu(plus(gate!, biases(expert).gate), plus(up!, biases(expert).up));
  },
  down: ({ weights, biases }, expert, act) => plus(matvec(act, weights(expert).down), biases(expert).down),
};
const BIASED_UNGATED: Kind = {
  first: ({ weights, biases }, expert, x) => relu2(plus(matvec(x, weights(expert).up), biases(expert).up)),
  down: BIASED.down,
};

const CASES: readonly (readonly [name: string, kind: Kind, sizes: ExpertSizes])[] = [
  ["no gate", UNGATED, sizes({ width: 37, inner: 50, numExperts: 5, numSlots: 4, numBindings: 1, ungated: true })],
  ["no gate", UNGATED, sizes({ width: 9, inner: 7, numExperts: 9, numSlots: 8, numBindings: 4, ungated: true })],
  [
    "no gate",
    UNGATED,
    {
      ...sizes({ width: 256, inner: 64, numExperts: 3, numSlots: 2, numBindings: 2, ungated: true }),
      dtypes: ["F32", "Q4_K", "Q8_0"],
    },
  ],
  [
    "biases, clamped",
    BIASED,
    sizes({ width: 30, inner: 41, numExperts: 5, numSlots: 4, numBindings: 2, biased: true }),
  ],
  [
    "biases, clamped",
    BIASED,
    {
      ...sizes({ width: 64, inner: 96, numExperts: 4, numSlots: 3, numBindings: 1, biased: true }),
      dtypes: ["MXFP4", "MXFP4", "MXFP4"],
    },
  ],
  [
    "no gate, biases",
    BIASED_UNGATED,
    sizes({ width: 21, inner: 34, numExperts: 4, numSlots: 3, numBindings: 1, ungated: true, biased: true }),
  ],
];

function sizes(rest: Omit<ExpertSizes, "dtypes">): ExpertSizes {
  return { dtypes: ["F32", "F32", "F32"], ...rest };
}

/** Inputs large enough that the clamps of the activation bind. */
const inputs = (count: number, width: number) => normals(bench.random, count, 4 / Math.sqrt(width));

describe.each(CASES)("%s: %#", (_name, kind, shape) => {
  const isUngated = shape.ungated ?? false;
  const tunings = shape === CASES[0]![2] ? [TEST_TUNING, ...ENGINE_TUNINGS] : [TEST_TUNING];

  test("decode: the first half; absent experts leave zeros", async () => {
    const experts = randomExperts(bench, shape);
    const { layer, gate, up, slots, inner, width, resident } = experts;
    const absent = [...slots.keys()].find((expert) => slots[expert] === ABSENT)!;
    const chosen = [...resident, absent];
    const x = inputs(width, width);
    const record = [...chosen, ...chosen.map((expert) => slots[expert]!), ...new Uint32Array(chosen.length)];
    const actStride = quads(inner) * 4 + 4;
    for (const tuning of tunings) {
      const act = bench.canaries(chosen.length * actStride + 4);
      const site = {
        layer,
        up,
        topK: chosen.length,
        x: { buffer: bench.floats(inRows(x, width, quads(width) * 4 + 16, 12, 1e3)) },
        xAt: 3,
        routing: bench.words(record),
        routingAt: 0,
        act,
        actStride,
      };
      const host = bench.host(tuning);
      const command = isUngated
        ? expertUp(host, site)
        : expertGateUp(host, { ...site, gate, activation: "clamped-swiglu" });
      const region = { rows: chosen.length, cols: inner, stride: actStride };
      const result = written(await bench.result([command], act), region);
      const expected = chosen.flatMap((expert) => [
        ...(expert === absent ? new Float64Array(inner) : kind.first(experts, expert, x)),
      ]);
      bench.agrees(result, expected, "act", 1);
      expect(result.subarray(resident.length * inner).every((value) => value === 0)).toBe(true);
    }
  });

  test("decode: the second half", async () => {
    const experts = randomExperts(bench, shape);
    const { layer, down, slots, inner, width, resident } = experts;
    const act = normals(bench.random, resident.length * inner, 1 / Math.sqrt(inner));
    const weights = Float32Array.from(bench.random.randomFloats(resident.length, 0, 1));
    const out = bench.canaries(width + 6);
    const command = expertDown(bench.host(), {
      layer,
      down,
      topK: resident.length,
      routing: bench.words([...resident, ...resident.map((expert) => slots[expert]!), ...wordsOf(weights)]),
      routingAt: 0,
      act: bench.floats(inRows(act, inner, quads(inner) * 4 + 8, 0, 1e3)),
      actStride: quads(inner) * 4 + 8,
      out,
    });
    const expected = new Float64Array(width);
    for (const [rank, expert] of resident.entries()) {
      const own = kind.down(experts, expert, act.slice(rank * inner, (rank + 1) * inner));
      for (const [i, value] of own.entries()) expected[i]! += weights[rank]! * value;
    }
    bench.agrees(written(await bench.result([command], out), { rows: 1, cols: width }), expected, "out", 1);
  });

  test("prefill: both halves over grouped tokens", async () => {
    const experts = randomExperts(bench, shape);
    const { layer, gate, up, down, inner, width, resident } = experts;
    const [tokens, topK] = [41, Math.min(2, resident.length)];
    const choices = randomChoices(bench, experts, tokens, topK);
    const x = inputs(tokens * width, width);
    const { tiles, pairs, numTiles } = tileBuffers(bench, experts, choices, resident);
    const [xStride, actStride] = [quads(width) * 4 + 12, quads(inner) * 4 + 4];
    const act = bench.canaries(choices.length * actStride);
    const shared = { layer, tiles, pairs, act, actStride };
    const site = {
      ...shared,
      up,
      topK,
      x: bench.floats(inRows(x, width, xStride, 8, 1e3)),
      xAt: 2,
      xStride: xStride / 4,
    };
    const host = bench.host();
    const first = isUngated
      ? expertMatmulUp(host, site)
      : expertMatmulGateUp(host, { ...site, gate, activation: "clamped-swiglu" });
    const acts = written(await bench.result([first(numTiles)], act), {
      rows: choices.length,
      cols: inner,
      stride: actStride,
    });
    const own = (values: Float32Array, cols: number, row: number) => values.slice(row * cols, (row + 1) * cols);
    const expectedActs = choices.flatMap((expert, pair) => [
      ...kind.first(experts, expert, own(x, width, Math.floor(pair / topK))),
    ]);
    bench.agrees(acts, expectedActs, "act", 1);

    const z = bench.canaries(choices.length * width);
    const stored = { ...shared, act: bench.floats(inRows(acts, inner, actStride, 0, 1e3)) };
    const second = expertMatmulDown(host, { ...stored, down, z, zStride: width });
    const expectedZ = choices.flatMap((expert, pair) => [...kind.down(experts, expert, own(acts, inner, pair))]);
    bench.agrees(written(await bench.result([second(numTiles)], z), { rows: choices.length, cols: width }), expectedZ);
  });
});
