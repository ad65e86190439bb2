/** Reads ahead by history: what is learned is read once, in the background, and told apart when it is used. */
import { expect, test } from "vitest";
import { HistoryReads } from "../../../src/engine/history-reads.ts";
import type { ModelSpec } from "../../../src/models/spec.ts";
import type { Pager } from "../../../src/pager/pager.ts";
import { RamTier } from "../../../src/tiers/ram-tier.ts";
import type { ReadOptions } from "../../../src/tiers/read-expert.ts";

const NUM_EXPERTS = 8;
/** Layers 1 and 3 of four are MoE layers. */
const SPEC = {
  layers: [0, 1, 2, 3].map((layer) => ({
    mlp: layer % 2 === 1 ? { kind: "moe", numExperts: NUM_EXPERTS, topK: 1 } : { kind: "dense", innerSize: 4 },
  })),
} as unknown as ModelSpec;

function setUp(resident: readonly string[] = []) {
  const reads: { at: string; options: ReadOptions }[] = [];
  let fails = false;
  const ram = new RamTier(async (layer, expert, options) => {
    reads.push({ at: `${layer}:${expert}`, options });
    if (fails) throw new Error("gone");
    return new Uint8Array(16);
  }, 1 << 20);
  const pager = {
    isResident: (moe: number, expert: number) => resident.includes(`${moe}:${expert}`),
  } as unknown as Pager;
  const history = new HistoryReads(SPEC, pager, ram);
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  return { reads, ram, history, settle, fail: () => (fails = true) };
}

const NOTHING = [[], []];

test("what followed is read for the next layer, once, behind every demand", async () => {
  const { reads, history, settle } = setUp();
  history.tokenEnded([[2], [5]], NOTHING);
  await settle();
  expect(reads.map(({ at }) => at)).toEqual(["3:5"]); // 5 followed 2: of layer 3, the second MoE layer
  expect(reads[0]!.options.priority).toBe("background");
  for (let i = 0; i < 3; i++) history.tokenEnded([[2], [5]], NOTHING);
  await settle();
  expect(reads).toHaveLength(1);
  expect(history.counts).toEqual({ historyReads: 1, historyUseful: 0 });
});

test("a demand for what was read ahead counts it as useful, once", async () => {
  const { history, settle } = setUp();
  history.tokenEnded([[2], [5]], NOTHING);
  await settle();
  history.tokenEnded([[2], [5]], [[2], [5]]);
  history.tokenEnded([[2], [5]], [[], [5]]);
  expect(history.counts.historyUseful).toBe(1);
});

test("what has a slot or lies in host memory already is not read", async () => {
  const { reads, ram, history, settle } = setUp(["1:5"]);
  await ram.read(3, 6, { priority: "demand" });
  history.tokenEnded([[2], [5]], NOTHING);
  history.tokenEnded([[2], [6]], NOTHING);
  await settle();
  expect(reads.map(({ at }) => at)).toEqual(["3:6"]);
  expect(history.counts.historyReads).toBe(0);
});

test("a read that fails is nobody's trouble, and is tried again", async () => {
  const { reads, history, settle, fail } = setUp();
  fail();
  history.tokenEnded([[2], [5]], NOTHING);
  await settle();
  history.tokenEnded([[2], [5]], NOTHING);
  await settle();
  expect(reads).toHaveLength(2);
  expect(history.counts.historyReads).toBe(0);
});

test("an end takes the reads under way with it", async () => {
  const { reads, history } = setUp();
  history.tokenEnded([[2], [5]], NOTHING);
  history.dispose();
  expect(reads[0]!.options.signal?.aborted).toBe(true);
});
