/** Selection within groups, by both scorings, with and without a bias for choosing. */
import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../../../src/errors.ts";
import { MAX_GROUPS, type RouterGroups, router } from "../../../src/kernels/router.ts";
import { selectInGroups } from "../../reference/group-router.ts";
import { normals, useBench, wordsOf } from "./harness.ts";

const bench = useBench();

interface Case {
  readonly numExperts: number;
  readonly topK: number;
  readonly count: number;
  readonly used: number;
}

interface Choice {
  readonly scoring: "softmax" | "sigmoid";
  readonly worth: RouterGroups["worth"];
  readonly bias: Float32Array | null;
}

const TOKENS = 7;

/** Ids and ranks exactly; weights as floats. */
async function compare(
  { numExperts, topK, count, used }: Case,
  { scoring, worth, bias }: Choice,
  logits: Float32Array,
): Promise<void> {
  const routing = bench.canaries(TOKENS * 3 * topK);
  const site = { numExperts, topK, renormalize: true, routingScale: 2.5, scoring, groups: { count, used, worth } };
  const tables = { residency: bench.words(new Uint32Array(numExperts)), residencyAt: 0, routing, routingAt: 0 };
  const inputs = {
    logits: bench.floats(logits),
    logitsStride: numExperts,
    bias: bias ? bench.floats(bias) : undefined,
  };
  const command = router(bench.host(), { ...site, ...tables, ...inputs })(TOKENS);
  const words = wordsOf(await bench.result([command], routing));
  const bestOf = worth === "best" ? 1 : 2;
  const settings = { numExperts, topK, scoring, bias, numGroups: count, groupsUsed: used, bestOf };
  const expected = selectInGroups({ ...settings, logits, renormalize: true, scale: 2.5 });
  const part = (index: number) =>
    Uint32Array.from({ length: TOKENS * topK }, (_, i) => {
      return words[Math.floor(i / topK) * 3 * topK + index * topK + (i % topK)]!;
    });
  expect([...part(0)]).toEqual(expected.expertIds);
  bench.agrees(new Float32Array(part(2).buffer), expected.routingWeights);
}

const CASES: readonly Case[] = [
  { numExperts: 4, topK: 1, count: 2, used: 1 },
  { numExperts: 16, topK: 4, count: 4, used: 2 },
  { numExperts: 15, topK: 5, count: 5, used: 2 },
  { numExperts: 256, topK: 8, count: 8, used: 4 }, // DeepSeek-V3
  { numExperts: 160, topK: 6, count: 8, used: 3 }, // DeepSeek-V2
  { numExperts: 2 * MAX_GROUPS, topK: 3, count: MAX_GROUPS, used: 5 },
];
const TITLE = "top $topK of $numExperts, $used of $count groups";

describe.each(["softmax", "sigmoid"] as const)("%s", (scoring) => {
  describe.each(["best", "best two"] as const)("a group is worth its %s", (worth) => {
    test.each(CASES)(TITLE, async (at) => {
      const logits = normals(bench.random, TOKENS * at.numExperts, 2);
      await compare(at, { scoring, worth, bias: null }, logits);
      const bias = normals(bench.random, at.numExperts, 0.2);
      await compare(at, { scoring, worth, bias }, logits);
    });

    test.each(CASES)(`few levels, so that groups and experts tie: ${TITLE}`, async (at) => {
      const logits = Float32Array.from(bench.random.randomInts(TOKENS * at.numExperts, 0, 2));
      await compare(at, { scoring, worth, bias: null }, logits);
      await compare(at, { scoring, worth, bias: new Float32Array(at.numExperts).fill(-0.5) }, logits);
    });
  });
});

test("experts of closed groups are not chosen even where the open ones' values are all below zero", () => {
  const bias = Float32Array.of(-3, -3, -3, -3, -9, -9, -9, -9);
  const at = { numExperts: 8, topK: 3, count: 2, used: 1 };
  return compare(at, { scoring: "sigmoid", worth: "best two", bias }, normals(bench.random, TOKENS * 8));
});

test.each([
  { numExperts: 16, topK: 4, count: 3, used: 2 },
  { numExperts: 16, topK: 5, count: 4, used: 1 },
  { numExperts: 16, topK: 2, count: 4, used: 5 },
  { numExperts: 16, topK: 2, count: 16, used: 4 },
  { numExperts: 4 * MAX_GROUPS, topK: 1, count: 2 * MAX_GROUPS, used: 4 },
])(`${TITLE} are refused`, ({ count, used, ...sizes }) => {
  const buffer = bench.canaries(4);
  const groups: RouterGroups = { count, used, worth: "best two" };
  const tables = { logits: buffer, logitsStride: 4, residency: buffer, residencyAt: 0, routing: buffer, routingAt: 0 };
  const site = { ...sizes, ...tables, groups, renormalize: true, routingScale: 1 };
  expect(() => router(bench.host(), site)).toThrow(UnsupportedError);
});
