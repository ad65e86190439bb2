/**
 * Tokens that are run while the one in front of them waits for experts: they bring in what it wants early, and change no
 * id, no bit and nothing that comes later.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Engine, EngineOptions } from "../../src/engine/engine.ts";
import type { Session } from "../../src/engine/session.ts";
import type { MemoryPlan } from "../../src/engine/types.ts";
import type { ReadExpert } from "../../src/tiers/read-expert.ts";
import { argmax } from "../reference/sample.ts";
import {
  type Answer,
  answer,
  bitDifference,
  budgetFor,
  difference,
  drawnAnswer,
  type OpenedModel,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { fetchJson, type MaiGolden, maiFolder } from "./fixtures.ts";

const CONTEXT = 96;
const STEPS = 40;
const INTO_THE_NEXT = { runAhead: 6, extraGuesses: 0 }; // the model has three MoE layers
const TO_THE_END = { runAhead: 3, extraGuesses: 0 };
const GREEDY = { temperature: 0, topP: 1, topK: 0, seed: 0 };

let device: SharedDevice;
let model: OpenedModel;
let prompt: number[];
let plan: MemoryPlan;
let expected: Answer;
beforeAll(async () => {
  device = await shareDevice();
  model = await openModel(maiFolder("base-f32"));
  prompt = (await fetchJson<MaiGolden>("/test/fixtures/mai/base-f32/golden.json")).tokens.slice(0, 12);
  await withEngine(1, {}, async (engine, session) => {
    plan = engine.memory();
    expected = await drawnAnswer(session, prompt, STEPS);
    expect(engine.stats().scouts).toBe(0); // nothing is waited for
  });
});
afterAll(() => expect(device.complaints).toEqual([]));

async function withEngine(
  fraction: number,
  options: EngineOptions,
  run: (engine: Engine, session: Session) => Promise<void>,
): Promise<void> {
  const gpuBudgetBytes = fraction === 1 ? undefined : budgetFor(plan, fraction);
  const { engine } = await device.engine(model, { contextLength: CONTEXT, gpuBudgetBytes, ...options });
  await run(engine, await engine.createSession(CONTEXT));
  engine.dispose();
}

/** Every read takes so long. */
function after(ms: number): ReadExpert {
  return async (layer, expert, { signal }) => {
    const bytes = await model.weights.readExpert(layer, expert, signal);
    await new Promise((resolve) => setTimeout(resolve, ms));
    return bytes;
  };
}

it.each([0, 0.4, 0.7])("with %d of the experts: the same ids, and the same logits behind them", async (fraction) => {
  await withEngine(fraction, { ...INTO_THE_NEXT, readExpert: after(5) }, async (engine, session) => {
    expect(difference(await drawnAnswer(session, prompt, STEPS), expected)).toBe("");
    const { scouts, decodeRounds, decodeSubmissions, queuedStepsDropped, prefetchesUseful } = engine.stats();
    expect(scouts).toBeGreaterThan(STEPS / 4);
    expect(decodeSubmissions).toBe(decodeRounds + scouts + queuedStepsDropped);
    expect(prefetchesUseful).toBeGreaterThan(0);
    // Greedy decoding by the host goes on from there as it does from where nothing was scouted.
    session.rewind(prompt.length + 20);
    await withEngine(1, {}, async (_, other) => {
      await other.prefill(prompt);
      for (const id of expected.ids.slice(0, 20)) await other.decode(id);
      let next = 7;
      for (let step = 0; step < 4; step++) {
        const logits = await other.decode(next);
        expect(bitDifference(await session.decode(next), logits), `token ${step}`).toBe("");
        next = argmax(logits);
      }
    });
  });
});

it("fewer tokens wait for experts", async () => {
  const waits = async (reach: EngineOptions) => {
    const seen = { clean: 0, stallMs: 0, scouts: 0 };
    await withEngine(0.5, { ...reach, readExpert: after(30) }, async (engine, session) => {
      await drawnAnswer(session, prompt, STEPS);
      const { cleanSteps, stallMs, scouts } = engine.stats();
      Object.assign(seen, { clean: cleanSteps, stallMs, scouts });
    });
    return seen;
  };
  const [within, beyond] = [await waits(TO_THE_END), await waits(INTO_THE_NEXT)];
  expect(within.scouts).toBe(0);
  expect(beyond.stallMs).toBeLessThan(within.stallMs);
  expect(beyond.clean).toBeGreaterThanOrEqual(within.clean);
});

it("there is none where its token has no place, is the last, or is the caller's to choose", async () => {
  await withEngine(0.4, INTO_THE_NEXT, async (engine, session) => {
    await answer(session, prompt, 4); // each token is given by the caller
    expect(engine.stats().scouts).toBe(0);
    const whole = await engine.createSession(prompt.length + 2);
    await whole.prefill(prompt);
    for (let i = 0; i < 2; i++) whole.append(await whole.sampleNext(GREEDY, undefined, true));
    const { scouts } = engine.stats();
    await whole.sampleNext(GREEDY, undefined, true); // the context is full
    expect(engine.stats().scouts).toBe(scouts);
    whole.dispose();
    session.append(await session.sampleNext(GREEDY));
    await session.sampleNext(GREEDY); // nobody wants another
    expect(engine.stats().scouts).toBe(scouts);
  });
  const unpadded = { ...INTO_THE_NEXT, prefillChunk: 1 }; // rings hold their window, and nothing beyond
  await withEngine(0, unpadded, async (engine, session) => {
    await session.prefill(prompt);
    for (let i = 0; i < 6; i++) session.append(await session.sampleNext(GREEDY, undefined, true));
    expect(engine.stats().scouts).toBe(0);
  });
});

it("an abort in the middle leaves a session that goes on to the same ids", async () => {
  await withEngine(0, { ...INTO_THE_NEXT, readExpert: after(20) }, async (engine, session) => {
    await session.prefill(prompt);
    const sampling = { temperature: 0.9, topK: 40, topP: 0.95, seed: 11 };
    for (let i = 0; i < 16; i++) {
      if (i % 5 === 3) {
        const stop = new AbortController();
        setTimeout(() => stop.abort(), 10);
        await session.sampleNext(sampling, stop.signal, true).catch(({ name }) => expect(name).toBe("AbortError"));
      }
      session.append(await session.sampleNext(sampling, undefined, true));
    }
    expect(session.tokens.slice(prompt.length)).toEqual(expected.ids.slice(0, 16));
    expect(engine.stats().scouts).toBeGreaterThan(0);
  });
});
