/**
 * Sessions over short convolutions: what a convolution looks back to survives replays, rewinds, chunk borders and changes of
 * budget to the last bit. And a state-space layer that would add something is refused while a model loads.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Session } from "../../src/engine/session.ts";
import { UnsupportedError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import {
  type Answer,
  answer,
  bitDifference,
  bitsOf,
  budgetFor,
  difference,
  type OpenedModel,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { goldenFile } from "./fixtures.ts";

const CONTEXT = 96;
const STEPS = 8;
const GREEDY = { temperature: 0, topP: 1, topK: 0, seed: 0 };
const PROMPT = Array.from({ length: 21 }, (_, i) => (i * 37 + 11) % 256);

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

describe("short convolutions", () => {
  let model: OpenedModel;
  let expected: Answer;
  let session: Session;
  beforeAll(async () => {
    model = await openModel(goldenFile("lfm2moe-odd-f32"));
    const { engine } = await device.engine(model, { contextLength: CONTEXT });
    session = await engine.createSession();
    expected = await answer(session, PROMPT, STEPS);
  });

  it("with the fewest experts, every miss replaying its step, and with the budget changing between steps", async () => {
    const { engine } = await device.engine(model, { contextLength: CONTEXT, runAhead: 0 });
    const { minBudgetBytes, fullBudgetBytes } = engine.memory();
    const own = await engine.createSession();
    const result = await answer(own, PROMPT, STEPS, (step) => {
      return engine.setBudget([minBudgetBytes, fullBudgetBytes, budgetFor(engine.memory(), 0.5)][step % 3]!);
    });
    expect(difference(result, expected)).toBe("");
    expect(engine.stats().decodeRounds).toBeGreaterThan(STEPS);
    engine.dispose();
  });

  it("a prompt in chunks of any size, and cut in two", async () => {
    for (const prefillChunk of [3, 8]) {
      const { engine } = await device.engine(model, { contextLength: CONTEXT, prefillChunk });
      const logits = await (await engine.createSession()).prefill(PROMPT);
      expect(bitDifference(bitsOf(logits), expected.bits[0]!), `chunks of ${prefillChunk}`).toBe("");
      engine.dispose();
    }
    session.rewind(2);
    expect(bitDifference(bitsOf(await session.prefill(PROMPT.slice(2))), expected.bits[0]!)).toBe("");
  });

  it("rewinds: within the rings, to where another token goes on, and behind what they hold", async () => {
    const { engine } = await device.engine(model, { contextLength: CONTEXT, prefillChunk: 4 });
    const own = await engine.createSession();
    const first = await answer(own, PROMPT, STEPS);
    expect(difference(first, expected)).toBe("");
    const again = async (length: number, step: number) => {
      own.rewind(length);
      return bitDifference(bitsOf(await own.decode(expected.ids[step]!)), expected.bits[step + 1]!);
    };
    expect(await again(PROMPT.length + 6, 6)).toBe(""); // rings of 3 + 4 positions still reach
    own.rewind(PROMPT.length + 5);
    await own.decode((expected.ids[5]! + 1) % 256); // another path, over the same rows
    expect(await again(PROMPT.length + 5, 5)).toBe("");
    for (let i = 0; i < 12; i++) await own.decode(7 + i);
    expect(await again(PROMPT.length + 1, 1)).toBe(""); // computed anew, each token by the path it took
    engine.dispose();
  });

  it("tokens drawn with steps queued behind, and another token than the one drawn", async () => {
    const { engine } = await device.engine(model, { contextLength: CONTEXT, prefillChunk: 4 });
    for (const budget of [engine.memory().fullBudgetBytes, engine.memory().minBudgetBytes]) {
      await engine.setBudget(budget);
      const own = await engine.createSession();
      await own.prefill(PROMPT);
      for (let step = 0; step < 4; step++) {
        const id = await own.sampleNext(GREEDY, undefined, true); // the next step is queued behind this draw
        expect(id).toBe(expected.ids[step]);
        own.append(id);
      }
      own.rewind(PROMPT.length + 2);
      await own.decode((expected.ids[2]! + 1) % 256); // over rows that a queued step wrote
      own.rewind(PROMPT.length + 2);
      expect(bitDifference(bitsOf(await own.decode(expected.ids[2]!)), expected.bits[3]!)).toBe("");
      await engine.disposeSession(own);
    }
    engine.dispose();
  });

  it("two sessions in turns", async () => {
    const { engine } = await device.engine(model, { contextLength: CONTEXT });
    const [own, other] = [await engine.createSession(), await engine.createSession()];
    await other.prefill([5, 4, 3]);
    const result = await answer(own, PROMPT, STEPS, (step) => other.decode(step));
    expect(difference(result, expected)).toBe("");
    engine.dispose();
  });
});

it("layers of one block each, with the fewest experts", async () => {
  const model = await openModel(goldenFile("nemotron-odd-f32"));
  const { engine } = await device.engine(model, { contextLength: CONTEXT });
  const { engine: paged } = await device.engine(model, {
    contextLength: CONTEXT,
    gpuBudgetBytes: engine.memory().minBudgetBytes,
  });
  const expected = await answer(await engine.createSession(), PROMPT, STEPS);
  const session = await paged.createSession();
  expect(difference(await answer(session, PROMPT, STEPS), expected)).toBe("");
  session.rewind(PROMPT.length + 2);
  expect(bitDifference(bitsOf(await session.decode(expected.ids[2]!)), expected.bits[3]!)).toBe("");
  engine.dispose();
  paged.dispose();
});

it("a Mamba-2 layer that would add something is refused while loading", async () => {
  const file = (await goldenFile("nemotron-odd-f32").open("nemotron-odd-f32.gguf"))!;
  const bytes = await file.read(0, await file.size());
  const files = () => openFileSet([{ name: "model.gguf", bytes }]);
  const { tensors } = await openCheckpoint(files());
  const { offset, byteLength } = tensors.get("blk.3.ssm_out.weight")!;
  await expect((await openModel(files())).weights.checkSkipped()).resolves.toBeUndefined();
  bytes[offset + byteLength - 1] = 0x3f;
  const loading = device.engine(await openModel(files()), { contextLength: CONTEXT });
  await expect(loading).rejects.toThrow(UnsupportedError);
  await expect(loading).rejects.toThrow(/Layer 3 is a Mamba-2 layer/);
});
