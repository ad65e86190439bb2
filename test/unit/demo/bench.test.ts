/** The bench without a model: what it asks of one, in which order, and what it makes of the counters. */
import { beforeEach, describe, expect, test, vi } from "vitest";
import { type BenchFigures, measureOpen, type ResidencyFigures } from "../../../demo/bench/bench-measure.ts";
import { budgetFor, median } from "../../../demo/bench/run.ts";
import { joined } from "../../../demo/bench/ways.ts";
import type { MemoryPlan, Model } from "../../../src/index.ts";

const PLAN = { minBudgetBytes: 200, fullBudgetBytes: 1100, expertBytes: 1000, denseBytes: 100, budgetBytes: 600 };

/** A model whose token takes longer the fewer experts it may hold, with a diary of what it was asked. */
function fakeModel() {
  const diary: string[] = [];
  let budget: number = PLAN.budgetBytes;
  const counts = { decodeTokens: 0, decodeMs: 0, prefillMs: 0, expertHits: 0, expertMisses: 0, timeToFirstTokenMs: 5 };
  const share = () => (budget - 100) / 1000;
  const session = {
    rewind: async () => {},
    prefill: async (ids: readonly number[]) => {
      counts.prefillMs += 2 * ids.length;
      diary.push("prefill");
    },
    async *generate({ maxTokens, signal }: { maxTokens: number; signal?: AbortSignal }) {
      for (let i = 0; i < maxTokens; i++) {
        signal?.throwIfAborted();
        counts.decodeTokens += 1;
        counts.decodeMs += 10 / share();
        counts.expertHits += 4 * share();
        counts.expertMisses += 4 * (1 - share());
        yield i;
      }
    },
    dispose: async () => void diary.push("disposed"),
  };
  const model = {
    adapter: { name: "fake", features: [] },
    spec: { name: "fake", vocabSize: 50, layers: [{ mlp: { kind: "moe", numExperts: 10, topK: 2 } }] },
    createSession: async () => session,
    memory: async () => ({ ...PLAN, budgetBytes: budget, slotsPerLayer: Math.round(10 * share()) }),
    setBudget: async (bytes: number) => {
      budget = bytes;
      diary.push(`budget ${bytes}`);
    },
    stats: async () => ({ ...counts, gpuBytes: { dense: 100 }, gpuBytesPeak: 1100, fillState: "off" }),
    encode: async (text: string) => [...text].map((_, i) => i),
  };
  return { model: model as unknown as Model, diary };
}

beforeEach(() => void vi.stubGlobal("navigator", { userAgent: "a test" }));

const SETTINGS = { residencies: [1, 0.5], promptTokens: 10, decodeTokens: 4, rounds: 2 };

describe("on an open model", () => {
  test("every turn has its budget and a run of warming up, and the budget is put back", async () => {
    const { model, diary } = fakeModel();
    const said: string[] = [];
    const figures = await measureOpen(model, SETTINGS, { say: (text) => said.push(text) });
    const turn = (bytes: number) => [`budget ${bytes}`, "prefill", "prefill"];
    expect(diary).toEqual([...turn(1100), ...turn(600), ...turn(1100), ...turn(600), "disposed", "budget 600"]);
    expect(said).toHaveLength(4);
    const [full, half] = figures.residencies;
    expect(full).toMatchObject({
      residency: 1,
      slotsPerLayer: 10,
      ratio: 1,
      hitRate: 1,
      leastWeightBytesPerToken: 300,
    });
    expect(full?.decodePerSecond).toBeCloseTo(100);
    expect(half?.decodeRuns).toHaveLength(2);
    expect(half?.decodePerSecond).toBeCloseTo(50);
    expect([half?.ratio, half?.hitRate]).toEqual([expect.closeTo(0.5), expect.closeTo(0.5)]);
    expect(figures).toMatchObject({ prefillTokens: 10, prefillPerSecond: 500, warmFirstTokenMs: 5, loadMs: null });
  });

  test("a stop ends it, and what it held is given back", async () => {
    const { model, diary } = fakeModel();
    const stop = new AbortController();
    const say = (text: string) => text.startsWith("Round 2") && stop.abort();
    const measuring = measureOpen(model, SETTINGS, { say, signal: stop.signal });
    await expect(measuring).rejects.toMatchObject({ name: "AbortError" });
    expect(diary.slice(-2)).toEqual(["disposed", "budget 600"]);
  });
});

test("ways that were measured apart are told against the first", () => {
  const at = (way: string, decodePerSecond: number) => ({ way, decodePerSecond, ratio: 1 }) as ResidencyFigures;
  const one = (row: ResidencyFigures) => ({ adapter: "fake", residencies: [row] }) as unknown as BenchFigures;
  expect(joined([one(at("a", 4)), one(at("b", 6))]).residencies).toEqual([at("a", 4), { ...at("b", 6), ratio: 1.5 }]);
});

test("a share of the experts is a budget, and never less than works", () => {
  const plan = PLAN as MemoryPlan;
  expect([1, 0.5, 0.01].map((share) => budgetFor(plan, share))).toEqual([1100, 600, 200]);
  expect([median([3, 1, 2]), median([4, 1])]).toEqual([2, 2.5]);
});
