/**
 * One device, one answer: whatever the budget, the policy, the arrival of bytes or the history of a session, logits and
 * ids are equal to the last bit. Everything is held against one fully resident run of each model.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EngineOptions } from "../../src/engine/engine.ts";
import type { MemoryPlan } from "../../src/engine/types.ts";
import { type GenerateSettings, generate } from "../../src/generate/generate.ts";
import { loadModel } from "../../src/index.ts";
import type { FileSet } from "../../src/sources/byte-source.ts";
import { createRandom } from "../reference/compare.ts";
import {
  type Answer,
  answer,
  bitDifference,
  budgetFor,
  difference,
  type OpenedModel,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { fetchJson, type MaiGolden, maiFolder, talesFile } from "./fixtures.ts";

const STEPS = 24;
const CONTEXT = 80;
// Small chunks make the rings of the window layers (8 tokens, and a chunk) turn several times over in one answer.
const CHUNK = 16;

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

interface Case {
  readonly model: OpenedModel;
  readonly prompt: readonly number[];
  readonly plan: MemoryPlan;
  readonly expected: Answer;
}

/** The fully resident run, with the default chunk: chunks must not change a bit either. */
async function baseline(files: FileSet, prompt: readonly number[], steps: number): Promise<Case> {
  const model = await openModel(files);
  const { engine } = await device.engine(model, { contextLength: CONTEXT });
  const session = await engine.createSession(CONTEXT);
  const expected = await answer(session, prompt, steps);
  expect(engine.stats().evictions).toBe(0);
  engine.dispose();
  const small = await device.engine(model, { contextLength: CONTEXT, prefillChunk: CHUNK });
  const plan = small.engine.memory();
  small.engine.dispose();
  return { model, prompt, plan, expected };
}

type Started = Awaited<ReturnType<SharedDevice["engine"]>>["engine"];

/** Runs `run` on an engine of its own and holds its ledger to the budget. */
async function withEngine(
  { model, plan }: Case,
  fraction: number,
  options: EngineOptions,
  run: (engine: Started, budget: number) => Promise<void>,
): Promise<void> {
  const gpuBudgetBytes = budgetFor(plan, fraction);
  const { engine, gpu } = await device.engine(model, {
    contextLength: CONTEXT,
    prefillChunk: CHUNK,
    gpuBudgetBytes,
    ...options,
  });
  await run(engine, gpuBudgetBytes);
  const { gpuBytesPeak, gpuBytesTotal, gpuBytes } = engine.stats();
  expect(gpuBytesPeak).toBeLessThanOrEqual(gpuBudgetBytes);
  expect(Object.values(gpuBytes).reduce((sum, bytes) => sum + bytes, 0)).toBe(gpuBytesTotal);
  engine.dispose();
  expect(gpu.ledger.byOwner()).toEqual({});
}

/** The prompt and its first `steps` tokens. */
function beginning({ ids, bits }: Answer, steps: number): Answer {
  return { ids: ids.slice(0, steps), bits: bits.slice(0, steps + 1) };
}

/** One session cold, the same again after rewind(0), and a second session. */
async function coldWarmSecond(tested: Case, engine: Started): Promise<void> {
  const { prompt, expected } = tested;
  const steps = expected.ids.length;
  const session = await engine.createSession(CONTEXT);
  expect(difference(await answer(session, prompt, steps), expected), "cold").toBe("");
  session.rewind(0);
  expect(difference(await answer(session, prompt, steps), expected), "warm").toBe("");
  session.dispose();
  const second = await engine.createSession(CONTEXT);
  expect(difference(await answer(second, prompt, 12), beginning(expected, 12)), "second session").toBe("");
}

describe("base-f32: 16 experts, top-4", () => {
  let base: Case;
  beforeAll(async () => {
    const { tokens } = await fetchJson<MaiGolden>("/test/fixtures/mai/base-f32/golden.json");
    base = await baseline(maiFolder("base-f32"), tokens, STEPS);
  });

  // A quarter of 16 experts is top-4, the smallest there is. Policies change places; paging-product.test.ts has the rest.
  const product = [
    { fraction: 0.25, policy: "successor" },
    { fraction: 0.5, policy: "lru" },
    { fraction: 1, policy: "lfru" },
  ] as const;
  it.each(product)("same bits with $fraction of the experts, $policy: cold, warm, second session", async (settings) => {
    const { fraction, policy } = settings;
    await withEngine(base, fraction, { policy }, async (engine) => {
      await coldWarmSecond(base, engine);
      const { evictions, cleanSteps, decodeRounds } = engine.stats();
      if (fraction < 1) expect(evictions).toBeGreaterThan(0);
      else expect(evictions).toBe(0);
      expect(decodeRounds).toBeGreaterThanOrEqual(cleanSteps);
    });
  });

  it.each<[string, EngineOptions]>([
    ["a step stops at its first miss", { runAhead: 0, extraGuesses: 0 }],
    ["it runs on for a layer and guesses below the cut", { runAhead: 1, extraGuesses: 2 }],
    [
      "it runs on to the end and guesses more than the slots hold",
      { runAhead: Number.POSITIVE_INFINITY, extraGuesses: 8 },
    ],
    ["the next layer is predicted", { runAhead: 0, extraGuesses: 0, prefetch: "next-layer" }],
    ["prediction and run-ahead want the same", { runAhead: 2, extraGuesses: 1, prefetch: "next-layer" }],
  ])("same bits when %s", async (_, options) => {
    await withEngine(base, 0.3, options, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      expect(difference(await answer(session, base.prompt, 16), beginning(base.expected, 16))).toBe("");
      const { prefetchesUseful } = engine.stats();
      if (options.runAhead === 0 && !options.prefetch) expect(prefetchesUseful).toBe(0);
      else expect(prefetchesUseful).toBeGreaterThan(0);
    });
  });

  it("same bits when every expert has its slot for good and none is looked up", async () => {
    await withEngine(base, 1, { allResident: true }, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      expect(difference(await answer(session, base.prompt, STEPS), base.expected)).toBe("");
      expect(engine.stats().expertsFetched).toBe(3 * 16);
      await expect(engine.setBudget(budgetFor(base.plan, 0.5))).rejects.toThrow(/allResident/);
    });
  });

  it("same bits when reads come late and out of order", async () => {
    const { int } = createRandom();
    const late: OpenedModel = {
      spec: base.model.spec,
      weights: {
        ...base.model.weights,
        readExpert: async (layer, expert, signal) => {
          const bytes = await base.model.weights.readExpert(layer, expert, signal);
          await new Promise((resolve) => setTimeout(resolve, int(0, 12)));
          return bytes;
        },
      },
    };
    await withEngine({ ...base, model: late }, 0, { policy: "lru" }, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      expect(difference(await answer(session, base.prompt, STEPS), base.expected)).toBe("");
    });
  });

  it.each([0, 1 << 24])(
    "same bits when experts give their memory back, with %i bytes of RAM tier",
    async (ramBudgetBytes) => {
      const read: Uint8Array[] = [];
      const { weights, spec } = base.model;
      const noting: OpenedModel = {
        spec,
        weights: {
          ...weights,
          readExpert: async (layer, expert, signal) => {
            const bytes = await weights.readExpert(layer, expert, signal);
            read.push(bytes);
            return bytes;
          },
        },
      };
      await withEngine({ ...base, model: noting }, 0, { ramBudgetBytes }, async (engine) => {
        const session = await engine.createSession(CONTEXT);
        expect(difference(await answer(session, base.prompt, STEPS), base.expected)).toBe("");
        await engine.setBudget(budgetFor(base.plan, 0)); // waits for late guesses
        expect(read.length).toBeGreaterThan(3 * 4);
        const there = read.filter(({ length }) => length > 0).reduce((sum, { length }) => sum + length, 0);
        expect(there).toBe(engine.stats().ramHeldBytes);
      });
    },
  );

  it("same bits when the budget changes in the middle of an answer", async () => {
    await withEngine(base, 1, { ramBudgetBytes: 1 << 24 }, async (engine, full) => {
      const session = await engine.createSession(CONTEXT);
      const residents = () => engine.residency().map(({ resident }) => resident.filter((there) => there).length);
      const budgets = new Map([
        [3, 0],
        [8, 0.5],
        [14, 0.25],
        [20, 1],
      ]);
      const slots: number[] = [];
      const between = (step: number) => {
        const fraction = budgets.get(step);
        if (fraction === undefined) return undefined;
        const before = residents();
        return engine.setBudget(budgetFor(base.plan, fraction)).then(({ slotsPerLayer }) => {
          slots.push(slotsPerLayer);
          // What the RAM tier holds is in the new slots at once.
          expect(residents()).toEqual(before.map((count) => Math.min(count, slotsPerLayer)));
        });
      };
      expect(difference(await answer(session, base.prompt, STEPS, between), base.expected)).toBe("");
      expect(slots).toEqual([4, 8, 4, 16]);
      expect(engine.memory().budgetBytes).toBe(full);
    });
  });

  it.each([58, 42, 39, 9])("same bits after a rewind to %i tokens", async (length) => {
    await withEngine(base, 0.25, {}, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      await answer(session, base.prompt, STEPS);
      session.rewind(length);
      const rest = base.prompt.slice(length);
      if (rest.length > 0) {
        expect(bitDifference(await session.prefill(rest), base.expected.bits[0]!)).toBe("");
      }
      const from = Math.max(0, length - base.prompt.length);
      for (let step = from; step < Math.min(from + 8, STEPS); step++) {
        const logits = await session.decode(base.expected.ids[step]!);
        expect(bitDifference(logits, base.expected.bits[step + 1]!), `token ${step}`).toBe("");
      }
    });
  });

  it("a step that failed behind written keys leaves a timeline that rewinds to the same bits", async () => {
    let broken = false;
    const { weights, spec } = base.model;
    const breaking: OpenedModel = {
      spec,
      weights: {
        ...weights,
        readExpert: (layer, expert, signal) => {
          if (broken && layer === 5) return Promise.reject(new Error("no bytes"));
          return weights.readExpert(layer, expert, signal);
        },
      },
    };
    await withEngine({ ...base, model: breaking }, 0, {}, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      await session.prefill(base.prompt);
      const { ids, bits } = base.expected;
      for (let step = 0; step < 4; step++) await session.decode(ids[step]!);
      broken = true;
      await expect(session.prefill(base.prompt.slice(0, CHUNK))).rejects.toThrow("no bytes");
      broken = false;
      expect(session.tokens).toEqual([...base.prompt, ...ids.slice(0, 4)]);
      session.rewind(base.prompt.length + 1); // the failed chunk has written over what the ring held for this
      for (let step = 1; step < 6; step++) {
        expect(bitDifference(await session.decode(ids[step]!), bits[step + 1]!), `token ${step}`).toBe("");
      }
    });
  });

  it("same bits in two sessions that take turns", async () => {
    const other = base.prompt.slice(3, 20).reverse();
    let expected: Answer | undefined;
    const twoSessions = base.plan.kvBytes; // room for the cache of the second
    const larger = { ...base, plan: { ...base.plan, minBudgetBytes: base.plan.minBudgetBytes + twoSessions } };
    await withEngine(larger, 1, {}, async (engine) => {
      expected = await answer(await engine.createSession(CONTEXT), other, 16);
    });
    await withEngine(larger, 0, { policy: "lru" }, async (engine) => {
      const [a, b] = [await engine.createSession(CONTEXT), await engine.createSession(CONTEXT)];
      const [one, two] = await Promise.all([answer(a, base.prompt, 16), answer(b, other, 16)]);
      expect(difference(one, beginning(base.expected, 16))).toBe("");
      expect(difference(two, expected!)).toBe("");
    });
  });

  it("same bits however a prompt is cut into prefills", async () => {
    await withEngine(base, 0.5, {}, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      for (const cuts of [
        [17, 23],
        [1, 39],
        [39, 1],
        [8, 8, 8, 16],
      ]) {
        session.rewind(0);
        let at = 0;
        let logits = new Float32Array(0);
        for (const count of cuts) {
          logits = await session.prefill(base.prompt.slice(at, at + count));
          at += count;
        }
        expect(bitDifference(logits, base.expected.bits[0]!), `cut ${cuts}`).toBe("");
      }
    });
  });

  it("generate gives the ids of manual decoding when greedy, and equal ids for a seed at every budget", async () => {
    const drawn = new Set<string>();
    const greedy = new Set<string>();
    for (const fraction of [0, 1]) {
      await withEngine(base, fraction, { policy: fraction === 0 ? "lru" : "lfru" }, async (engine) => {
        const session = await engine.createSession(CONTEXT);
        const run = async (settings: GenerateSettings) => {
          session.rewind(0);
          await session.prefill(base.prompt);
          const ids: number[] = [];
          const all = { maxTokens: 10, stopIds: [], ...settings };
          for await (const { id } of generate(session, all, [], () => undefined)) ids.push(id);
          return ids;
        };
        greedy.add((await run({})).join());
        const last = await session.decode(7); // after generated tokens the timeline is as after decoded ones
        session.rewind(0);
        await session.prefill(base.prompt);
        for (const id of base.expected.ids.slice(0, 10)) await session.decode(id);
        expect(bitDifference(await session.decode(7), last)).toBe("");
        drawn.add((await run({ temperature: 1.1, topK: 40, topP: 0.95, seed: 20_250 })).join());
      });
    }
    expect([...greedy]).toEqual([base.expected.ids.slice(0, 10).join()]);
    expect(drawn.size).toBe(1);
    expect([...drawn][0]).not.toBe([...greedy][0]);
  });

  it("same bits through the public door, in a worker", async () => {
    const gpuBudgetBytes = 1_800_000; // a little over the smallest: 1,659,040 with the default chunk
    const source = `${location.origin}/test/fixtures/mai/base-f32`;
    const model = await loadModel(source, { contextLength: CONTEXT, gpuBudgetBytes });
    const session = await model.createSession({ contextLength: CONTEXT });
    const bits = [await session.prefill(base.prompt)];
    for (const id of base.expected.ids) bits.push(await session.decode(id));
    for (const [i, logits] of bits.entries()) {
      expect(bitDifference(logits, base.expected.bits[i]!), `token ${i}`).toBe("");
    }
    const { gpuBytesPeak, evictions } = await model.stats();
    expect(gpuBytesPeak).toBeLessThanOrEqual(gpuBudgetBytes);
    expect(evictions).toBeGreaterThan(0);
    expect(await model.dispose()).toEqual({});
  });
});

describe("norm-topk-bf16: 48 experts, top-8, 12 layers", () => {
  let norm: Case;
  beforeAll(async () => {
    const { tokens } = await fetchJson<MaiGolden>("/test/fixtures/mai/norm-topk-bf16/golden.json");
    norm = await baseline(maiFolder("norm-topk-bf16"), tokens.slice(0, 12), 16);
  });

  it.each([0, 0.5])("same bits with %d of the experts: cold and warm", async (fraction) => {
    const policy = fraction === 0 ? "lru" : "lfru";
    await withEngine(norm, fraction, { policy }, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      expect(difference(await answer(session, norm.prompt, 16), norm.expected), "cold").toBe("");
      session.rewind(0);
      expect(difference(await answer(session, norm.prompt, 8), beginning(norm.expected, 8)), "warm").toBe("");
    });
  });
});

describe("the default model: 64 experts, top-8, Q8_0", () => {
  const tokens = [2385, 636, 264, 532, 446, 312, 264, 449, 854, 412];
  let tales: Case;
  beforeAll(async () => {
    tales = await baseline(talesFile(), tokens, 16);
  });

  it.each([
    { fraction: 0, steps: 16 },
    { fraction: 0.5, steps: 8 },
  ])("same bits with $fraction of the experts", async ({ fraction, steps }) => {
    await withEngine(tales, fraction, {}, async (engine) => {
      const session = await engine.createSession(CONTEXT);
      expect(difference(await answer(session, tales.prompt, steps), beginning(tales.expected, steps))).toBe("");
      expect(engine.stats().expertMisses).toBeGreaterThan(0);
    });
  });
});
