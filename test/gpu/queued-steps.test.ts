/**
 * Steps that are queued before the one in front of them is read back: used where they fit, void where anything came
 * between, and never to be seen in an id.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import type { Session } from "../../src/engine/session.ts";
import type { MemoryPlan } from "../../src/engine/types.ts";
import { type GenerateSettings, generate } from "../../src/generate/generate.ts";
import { bitDifference, budgetFor, type OpenedModel, openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchJson, type MaiGolden, maiFolder } from "./fixtures.ts";

const CONTEXT = 64;
const GREEDY = { temperature: 0, topP: 1, topK: 0, seed: 0 };

let device: SharedDevice;
let model: OpenedModel;
let prompt: number[];
let plan: MemoryPlan;
beforeAll(async () => {
  device = await shareDevice();
  model = await openModel(maiFolder("base-f32"));
  prompt = (await fetchJson<MaiGolden>("/test/fixtures/mai/base-f32/golden.json")).tokens.slice(0, 12);
  await withEngine(1, async (engine) => {
    plan = engine.memory();
  });
});
afterAll(() => expect(device.complaints).toEqual([]));

async function withEngine(fraction: number, run: (engine: Engine, session: Session) => Promise<void>): Promise<void> {
  const gpuBudgetBytes = fraction === 1 ? undefined : budgetFor(plan, fraction);
  const { engine } = await device.engine(model, { contextLength: CONTEXT, gpuBudgetBytes });
  await run(engine, await engine.createSession(CONTEXT));
  engine.dispose();
}

async function generated(session: Session, settings: GenerateSettings): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of generate(session, { stopIds: [], ...settings }, [], () => undefined)) ids.push(id);
  return ids;
}

/** Ids drawn one at a time, nothing queued. */
async function drawn(session: Session, sampling: typeof GREEDY, count: number): Promise<number[]> {
  const ids: number[] = [];
  for (let i = 0; i < count; i++) {
    ids.push(await session.sampleNext(sampling));
    session.append(ids.at(-1)!);
  }
  return ids;
}

const DRAWS = { temperature: 1.2, topP: 0.9, topK: 50, seed: 77 };

it.each([1, 0.6, 0])("with %d of the experts, generated ids are those drawn one at a time", async (fraction) => {
  await withEngine(fraction, async (engine, session) => {
    await session.prefill(prompt);
    const alone = await drawn(session, DRAWS, 24);
    expect(engine.stats().queuedSteps).toBe(0);
    session.rewind(0);
    await session.prefill(prompt);
    expect(await generated(session, { ...DRAWS, maxTokens: 24 })).toEqual(alone);
    const { queuedSteps, queuedStepsDropped, cleanSteps } = engine.stats();
    expect(queuedStepsDropped).toBeLessThanOrEqual(queuedSteps);
    if (fraction === 1) {
      expect(queuedSteps).toBeGreaterThan(15);
      expect(cleanSteps).toBeGreaterThan(30);
    }
  });
});

it("what was queued is dropped by whatever comes between, and nothing shows it", async () => {
  await withEngine(1, async (engine, session) => {
    await session.prefill(prompt);
    const greedy = await drawn(session, GREEDY, 16);
    const again = async (between: (rest: number) => Promise<void>) => {
      session.rewind(0);
      await session.prefill(prompt);
      const ids: number[] = [];
      for (let i = 0; i < 16; i++) {
        ids.push(await session.sampleNext(GREEDY, undefined, true));
        await between(i);
        session.append(ids.at(-1)!);
      }
      return ids;
    };
    expect(await again(async () => {})).toEqual(greedy);
    const { queuedSteps, queuedStepsDropped } = engine.stats();
    expect(queuedSteps).toBeGreaterThan(10);
    expect(queuedStepsDropped).toBeLessThanOrEqual(1); // the last
    expect(
      await again(async (i) => void (i % 5 === 4 && (await engine.setBudget(budgetFor(plan, 0.9 - i / 40))))),
    ).toEqual(greedy);
    expect(engine.stats().queuedStepsDropped).toBeGreaterThan(queuedStepsDropped);
    await engine.setBudget(plan.budgetBytes);
    const other = await engine.createSession(16);
    expect(
      await again(async (i) => void (i % 6 === 5 && (await other.sampleNext(GREEDY).catch(() => other.prefill([1]))))),
    ).toEqual(greedy);
    other.dispose();
  });
});

it("a queued step is not taken for another continuation", async () => {
  await withEngine(1, async (engine, session) => {
    await session.prefill(prompt);
    await drawn(session, GREEDY, 8); // what follows is clean
    const start = async () => {
      session.rewind(0);
      await session.prefill(prompt);
      for (let i = 0; i < 4; i++) session.append(await session.sampleNext(GREEDY, undefined, true));
    };
    const fresh = async (sampling: typeof GREEDY, ids: readonly number[]) => {
      const own = await engine.createSession(CONTEXT);
      await own.prefill(prompt);
      for (const id of ids) await own.decode(id);
      const next = await own.sampleNext(sampling);
      own.dispose();
      return next;
    };
    await start();
    const four = session.tokens.slice(prompt.length);
    expect(await session.sampleNext(DRAWS)).toBe(await fresh(DRAWS, four)); // another way of drawing
    await start();
    session.rewind(session.length - 1);
    session.append(17); // another token
    expect(await session.sampleNext(GREEDY)).toBe(await fresh(GREEDY, [...four.slice(0, 3), 17]));
    await start();
    session.rewind(prompt.length + 1);
    for (const id of [21, four[2]!, four[3]!]) session.append(id); // the same last token after others
    expect(await session.sampleNext(GREEDY)).toBe(await fresh(GREEDY, [four[0]!, 21, four[2]!, four[3]!]));
  });
});

it("decoding goes on from the same bits after a generation was left with a step queued", async () => {
  await withEngine(1, async (_, session) => {
    await session.prefill(prompt);
    const ids = await drawn(session, GREEDY, 8);
    const expected = await session.decode(9);
    session.rewind(0);
    await session.prefill(prompt);
    for (let i = 0; i < 8; i++) session.append(await session.sampleNext(GREEDY, undefined, true));
    expect(session.tokens.slice(prompt.length)).toEqual(ids);
    expect(bitDifference(await session.decode(9), expected)).toBe("");
  });
});

it("an aborted draw drops what it queued and leaves a session that goes on", async () => {
  await withEngine(1, async (_, session) => {
    await session.prefill(prompt);
    const ids = await drawn(session, GREEDY, 10);
    session.rewind(0);
    await session.prefill(prompt);
    for (let i = 0; i < 5; i++) session.append(await session.sampleNext(GREEDY, undefined, true));
    await expect(session.sampleNext(GREEDY, AbortSignal.abort(), true)).rejects.toThrow();
    for (let i = 5; i < 10; i++) session.append(await session.sampleNext(GREEDY, undefined, true));
    expect(session.tokens.slice(prompt.length)).toEqual(ids);
  });
});
