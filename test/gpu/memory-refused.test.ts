/** A GPU with less memory than the budget says: the model runs with what there is, says so, and its answers do not change. */
import { afterEach, beforeAll, expect, it } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import type { ModelWarning } from "../../src/engine/types.ts";
import { DeviceError } from "../../src/errors.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import { type BreakableGpu, breakableGpu } from "./breakable-gpu.ts";
import { bitDifference, type OpenedModel, openModel } from "./engines.ts";
import { maiFolder } from "./fixtures.ts";

const CONTEXT = 64;
const PROMPT = [5, 266, 17, 90, 201, 44, 44, 8];

let model: OpenedModel;
let breakable: BreakableGpu;
let warnings: ModelWarning[] = [];
beforeAll(async () => {
  model = await openModel(maiFolder("one-token-f32"));
});
afterEach(() => expect(breakable.complaints).toEqual([]));

async function open(memoryBytes: number) {
  breakable = await breakableGpu();
  breakable.limitMemory(memoryBytes);
  warnings = [];
  const gpu = await openGpu(breakable.gpu);
  const onWarning = (warning: ModelWarning) => void warnings.push(warning);
  const creating = Engine.create(gpu, model.weights, model.spec, { contextLength: CONTEXT, onWarning });
  return { gpu, creating };
}

/** Without a budget caches come out of free memory; slots go when the GPU refuses, or when a budget says so. */
async function sessionsBeyondTheReserved(engine: Engine, gpu: Gpu, expected: Float32Array) {
  const { slotsPerLayer, kvBytes, budgetBytes, fullBudgetBytes } = engine.memory();
  const second = await engine.createSession();
  const roomForTwo = { slotsPerLayer, kvBytes: 2 * kvBytes, budgetBytes: budgetBytes + kvBytes };
  expect(engine.memory()).toMatchObject(roomForTwo);
  expect(bitDifference(await second.prefill(PROMPT), expected)).toBe("");
  await engine.disposeSession(second);
  expect(engine.memory()).toMatchObject({ slotsPerLayer, kvBytes, budgetBytes });

  breakable.limitMemory(gpu.ledger.totalBytes + Math.floor(kvBytes / 2));
  const third = await engine.createSession();
  const lowered = engine.memory();
  expect(lowered.slotsPerLayer).toBeLessThan(slotsPerLayer);
  expect(warnings.map(({ code }) => code)).toEqual(["budget-lowered"]);
  expect(bitDifference(await third.prefill(PROMPT), expected)).toBe("");
  await engine.disposeSession(third);
  expect(engine.memory()).toMatchObject({ kvBytes, budgetBytes: lowered.budgetBytes });
  expect(engine.memory().slotsPerLayer).toBeGreaterThan(lowered.slotsPerLayer);

  breakable.limitMemory(Number.POSITIVE_INFINITY);
  expect((await engine.setBudget(fullBudgetBytes)).slotsPerLayer).toBe(slotsPerLayer);
  const fourth = await engine.createSession();
  expect(engine.memory()).toMatchObject({ kvBytes: 2 * kvBytes, budgetBytes: fullBudgetBytes });
  expect(engine.memory().slotsPerLayer).toBeLessThan(slotsPerLayer);
  await engine.disposeSession(fourth);
}

it("slots at load, a cache, a larger budget and a new device: each gets what there is, down to the fewest", async () => {
  const all = await open(Number.POSITIVE_INFINITY);
  const roomy = await all.creating;
  const { fullBudgetBytes, slotsPerLayer, slotBytes } = roomy.memory();
  const loaded = all.gpu.ledger.totalBytes;
  const expected = await (await roomy.createSession()).prefill(PROMPT);
  expect([warnings, roomy.stats().budgetsLowered]).toEqual([[], 0]);
  await sessionsBeyondTheReserved(roomy, all.gpu, expected);
  roomy.dispose();
  all.gpu.destroy();

  const { gpu, creating } = await open(loaded - Math.floor(slotBytes / 10));
  const engine = await creating;
  const atLoad = engine.memory();
  expect(atLoad.slotsPerLayer).toBeLessThan(slotsPerLayer);
  expect(atLoad.budgetBytes).toBeLessThan(fullBudgetBytes);
  expect(warnings.map(({ code }) => code)).toEqual(["budget-lowered"]);
  expect(warnings[0]?.message).toContain(`${atLoad.budgetBytes} now`);

  // Not quite enough for a cache: slots have to go.
  breakable.limitMemory(gpu.ledger.totalBytes + atLoad.kvBytes - Math.floor(slotBytes / 10));
  const session = await engine.createSession();
  expect(bitDifference(await session.prefill(PROMPT), expected)).toBe("");
  const withSession = engine.memory();
  expect(withSession.slotsPerLayer).toBeLessThan(atLoad.slotsPerLayer);
  expect(engine.stats().budgetsLowered).toBe(2);

  breakable.limitMemory(gpu.ledger.totalBytes + atLoad.slotBytes - withSession.slotBytes);
  const raised = await engine.setBudget(fullBudgetBytes);
  expect(raised).toEqual(engine.memory());
  expect(raised.slotsPerLayer).toBeLessThan(slotsPerLayer);
  expect(raised.slotsPerLayer).toBe(atLoad.slotsPerLayer);
  expect(engine.stats().budgetsLowered).toBe(3);

  const lastSlots = engine.memory().slotBytes;
  const { tables = 0, staging = 0 } = gpu.ledger.byOwner(); // not there yet when the slots are made again
  breakable.limitMemory(gpu.ledger.totalBytes - tables - staging - Math.floor(lastSlots / 10));
  breakable.breakNow();
  session.rewind(0);
  expect(bitDifference(await session.prefill(PROMPT), expected)).toBe("");
  expect(engine.memory().slotBytes).toBeLessThan(lastSlots);
  expect(warnings.map(({ code }) => code).slice(3)).toEqual(["device-lost", "budget-lowered"]);
  engine.dispose();
  expect(gpu.ledger.byOwner()).toEqual({});
  gpu.destroy();
});

it("when even the fewest slots are refused it is a DeviceError, and memory that comes back is used", async () => {
  const small = await open(Number.POSITIVE_INFINITY);
  const engine = await small.creating;
  const { minBudgetBytes, fullBudgetBytes, slotBytes } = engine.memory();
  const dense = small.gpu.ledger.totalBytes - slotBytes;
  const session = await engine.createSession();
  const expected = await session.prefill(PROMPT);
  await engine.setBudget(minBudgetBytes);
  breakable.limitMemory(small.gpu.ledger.totalBytes - engine.memory().slotBytes + 64);
  const error: unknown = await engine.setBudget(fullBudgetBytes).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DeviceError);
  expect(error).toMatchObject({ code: "out-of-memory" });
  expect(String(error)).toMatch(/refused memory even for \d+ experts a layer/);
  await expect(session.decode(1)).rejects.toThrow(/even for/); // it is asked for again, and still not there
  expect(session.tokens).toEqual(PROMPT);
  breakable.limitMemory(Number.POSITIVE_INFINITY);
  session.rewind(0);
  expect(bitDifference(await session.prefill(PROMPT), expected)).toBe("");
  expect((await engine.setBudget(fullBudgetBytes)).slotBytes).toBe(slotBytes);
  engine.dispose();
  expect(small.gpu.ledger.byOwner()).toEqual({});
  small.gpu.destroy();

  const none = await open(dense + 64);
  await expect(none.creating).rejects.toMatchObject({ name: "DeviceError", code: "out-of-memory" });
  expect(none.gpu.ledger.byOwner()).toEqual({});
  none.gpu.destroy();
});
