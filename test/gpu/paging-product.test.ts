/**
 * Same bits over the whole product of what paging can be told: eight budgets, how far a step runs on, what is prefetched,
 * a RAM tier or none, and reads that come late and out of order. Every run is compared cold and warm with the fully
 * resident one, after a storm of evictions too, and when its tokens are drawn on the GPU. A CI run takes the product along its diagonals; `VITE_GOLDEN=1` takes all.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Engine, EngineOptions } from "../../src/engine/engine.ts";
import type { MemoryPlan } from "../../src/engine/types.ts";
import type { ReadExpert } from "../../src/tiers/read-expert.ts";
import { createRandom } from "../reference/compare.ts";
import {
  type Answer,
  answer,
  budgetFor,
  difference,
  drawnAnswer,
  type OpenedModel,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { fetchJson, type MaiGolden, maiFolder } from "./fixtures.ts";

const ALL = Boolean(import.meta.env.VITE_GOLDEN);
const CONTEXT = 64;
const STEPS = ALL ? 24 : 10;

const BUDGETS = [0, 1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1];
const REACHES: readonly EngineOptions[] = [
  { runAhead: 0, extraGuesses: 0 },
  { runAhead: 1, extraGuesses: 2 },
  { runAhead: Number.POSITIVE_INFINITY, extraGuesses: 4 },
  {}, // chosen by measurement
  { runAhead: 3, extraGuesses: 0 }, // the token's MoE layers, and none of the next one's
];
const PREFETCHES = ["none", "next-layer", "history"] as const;
const LATENCIES_MS = [0, 50];

const every = BUDGETS.flatMap((budget, i) =>
  REACHES.flatMap((reach, j) =>
    PREFETCHES.flatMap((prefetch, k) =>
      LATENCIES_MS.map((latencyMs, l) => ({
        budget,
        reach,
        prefetch,
        latencyMs,
        diagonal: i === j + 4 * l && k === i % 3,
      })),
    ),
  ),
);
const cases = every.filter(({ diagonal }) => ALL || diagonal);

let device: SharedDevice;
let model: OpenedModel;
let prompt: number[];
let plan: MemoryPlan;
let expected: Answer;
let expectedDraws: Answer;

beforeAll(async () => {
  device = await shareDevice();
  model = await openModel(maiFolder("base-f32"));
  prompt = (await fetchJson<MaiGolden>("/test/fixtures/mai/base-f32/golden.json")).tokens.slice(0, 14);
  const { engine } = await device.engine(model, { contextLength: CONTEXT });
  plan = engine.memory();
  const session = await engine.createSession();
  expected = await answer(session, prompt, STEPS);
  session.rewind(0);
  expectedDraws = await drawnAnswer(session, prompt, STEPS);
  engine.dispose();
});
afterAll(() => expect(device.complaints).toEqual([]));

/** Reads that take a random time up to `latencyMs`, so that they overtake each other. */
function late(latencyMs: number): ReadExpert {
  const { float } = createRandom();
  return async (layer, expert, { signal }) => {
    const bytes = await model.weights.readExpert(layer, expert, signal);
    if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, float(0, latencyMs)));
    return bytes;
  };
}

/** Decodes ids that the answer does not have, so that slots fill with others. */
async function storm(engine: Engine): Promise<void> {
  const other = await engine.createSession(16);
  await other.prefill([1, 290, 31, 207, 5, 160]);
  for (const id of [77, 3, 254]) await other.decode(id);
  await engine.disposeSession(other);
}

it("the diagonals take every value of every setting", () => {
  expect(new Set(cases.map(({ budget }) => budget)).size).toBe(BUDGETS.length);
  expect(new Set(cases.map(({ reach }) => reach)).size).toBe(REACHES.length);
  expect(new Set(cases.map(({ prefetch }) => prefetch)).size).toBe(PREFETCHES.length);
  expect(new Set(cases.map(({ latencyMs }) => latencyMs)).size).toBe(LATENCIES_MS.length);
});

it.each(cases)("budget $budget, $reach, prefetch $prefetch, reads up to $latencyMs ms late", async (settings) => {
  const { budget, reach, prefetch, latencyMs } = settings;
  const roomForTwo = { ...plan, minBudgetBytes: plan.minBudgetBytes + plan.kvBytes };
  const options = {
    ...reach,
    prefetch,
    readExpert: late(latencyMs),
    ramBudgetBytes: prefetch === "history" ? 1 << 20 : 0,
  };
  const gpuBudgetBytes = budgetFor(roomForTwo, budget);
  const { engine, gpu } = await device.engine(model, { contextLength: CONTEXT, gpuBudgetBytes, ...options });
  const session = await engine.createSession();
  expect(difference(await answer(session, prompt, STEPS), expected), "cold").toBe("");
  await storm(engine);
  session.rewind(0);
  expect(difference(await answer(session, prompt, STEPS), expected), "warm").toBe("");
  session.rewind(0);
  expect(difference(await drawnAnswer(session, prompt, STEPS), expectedDraws), "drawn on the GPU").toBe("");
  const { gpuBytesPeak, evictions } = engine.stats();
  expect(gpuBytesPeak).toBeLessThanOrEqual(gpuBudgetBytes);
  if (budget < 0.3) expect(evictions).toBeGreaterThan(0);
  engine.dispose();
  expect(gpu.ledger.byOwner()).toEqual({});
});
