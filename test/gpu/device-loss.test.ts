/** The device is destroyed at seeded moments, and nobody notices but for the warnings: the same ids, the same bits. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Session } from "../../src/engine/session.ts";
import type { ModelWarning } from "../../src/engine/types.ts";
import { DeviceError } from "../../src/errors.ts";
import { generate } from "../../src/generate/generate.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { createRandom } from "../reference/compare.ts";
import { type BreakableGpu, breakableGpu } from "./breakable-gpu.ts";
import { type Answer, answer, bitDifference, difference, type OpenedModel, openModel, shareDevice } from "./engines.ts";
import { fetchFolder, Service } from "./service.ts";

const CONTEXT = 64;
const PROMPT = [5, 266, 17, 90, 201, 44, 44, 8, 130, 299, 0, 61];
const STEPS = 4;
const HOT = { maxTokens: 6, temperature: 1.2, seed: 7 };

let service: Service;
let model: OpenedModel;
let smallest = 0;
let expected: Answer;
/** Ids of a generation behind that answer, drawn in one go with steps queued ahead. */
let drawn: readonly number[];
/** Submissions of all that. */
let submissions = 0;

interface Rig {
  readonly breakable: BreakableGpu;
  readonly gpu: Gpu;
  readonly engine: Engine;
  readonly warnings: ModelWarning[];
}

async function open(options: EngineOptions = {}, breakable?: BreakableGpu): Promise<Rig> {
  const warnings: ModelWarning[] = [];
  const rigged = breakable ?? (await breakableGpu());
  const gpu = await openGpu(rigged.gpu);
  const settings = { contextLength: CONTEXT, onWarning: (warning: ModelWarning) => void warnings.push(warning) };
  const engine = await Engine.create(gpu, model.weights, model.spec, { ...settings, ...options });
  return { breakable: rigged, gpu, engine, warnings };
}

function close({ engine, gpu, breakable }: Rig): void {
  engine.dispose();
  expect(gpu.ledger.byOwner()).toEqual({});
  gpu.destroy();
  expect(breakable.complaints).toEqual([]);
}

async function drawnBy(session: Session): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of generate(session, HOT, [], () => undefined)) ids.push(id);
  return ids;
}

beforeAll(async () => {
  service = new Service(await fetchFolder("one-token-f32"));
  model = await openModel(openFileSet(service.url, { fetch: service.fetch, retryDelaysMs: [] }));
  const { engine, gpu } = await (await shareDevice()).engine(model, { contextLength: CONTEXT });
  smallest = engine.memory().minBudgetBytes;
  await engine.setBudget(smallest);
  const session = await engine.createSession();
  const before = gpu.queue.counts.submissions;
  expected = await answer(session, PROMPT, STEPS);
  drawn = await drawnBy(session);
  submissions = gpu.queue.counts.submissions - before;
  expect(engine.stats().deviceLosses).toBe(0);
  engine.dispose();
});
afterAll(() => expect(service.requests.length).toBeGreaterThan(0));

describe("a device that is lost", () => {
  const { int } = createRandom();

  it("at any submission, between steps, and with steps queued ahead: the same answer, the same ledger", async () => {
    const rig = await open({ gpuBudgetBytes: smallest, ramBudgetBytes: 1e6 });
    const { breakable, engine, gpu, warnings } = rig;
    const session = await engine.createSession();
    const sound = gpu.ledger.byOwner();
    const plan = engine.memory();

    breakable.breakAfter(int(1, 6)); // within the prefill
    const actual = await answer(session, PROMPT, STEPS, async (step) => {
      if (step === 1) breakable.breakNow(); // between two steps
    });
    expect(difference(actual, expected)).toBe("");
    breakable.breakAfter(int(1, Math.floor(submissions / 3))); // while steps are queued ahead
    expect(await drawnBy(session)).toEqual(drawn);
    expect(breakable.devices.length).toBe(4);
    expect(engine.stats().deviceLosses).toBe(3);
    expect(warnings.map(({ code }) => code)).toEqual(Array(3).fill("device-lost"));
    expect(warnings[0]?.message).toMatch(/lost.*Another one was opened/s);
    expect(engine.memory()).toEqual(plan);
    // The staging buffers of the read-backs come and go; all else is as it was.
    expect({ ...gpu.ledger.byOwner(), staging: 0 }).toEqual({ ...sound, staging: 0 });
    expect(gpu.ledger.peakBytes).toBeLessThanOrEqual(smallest);
    close(rig);
  });

  it("while experts are fetched, and again while it is being restored", async () => {
    const rig = await open();
    const { breakable, engine } = rig;
    const session = await engine.createSession();
    const other = await engine.createSession(16);
    await engine.setBudget(engine.memory().minBudgetBytes);
    const theirs = await other.prefill(PROMPT.toReversed());
    const first = service.requests.length;
    let broken = 0;
    const at = [int(1, 5), int(6, 12)];
    service.latencyMs = ({ number }) => {
      if (!at.includes(number - first)) return 0;
      breakable.breakNow();
      broken += 1;
      return 20;
    };
    expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!)).toBe("");
    expect(broken).toBe(2);
    expect(engine.stats().deviceLosses).toBeGreaterThan(0);
    service.latencyMs = () => 0;
    // The other session was on the device too.
    other.rewind(other.length - 1);
    expect(bitDifference(await other.prefill(PROMPT.toReversed().slice(-1)), theirs)).toBe("");
    close(rig);
  });

  it("while the model loads, and while every expert is resident for good", async () => {
    const breakable = await breakableGpu();
    let told = 0;
    const rig = await open({ allResident: true, onProgress: () => ++told === 4 && breakable.breakNow() }, breakable);
    expect(breakable.devices.length).toBe(2);
    expect(rig.engine.stats().deviceLosses).toBe(1);
    const session = await rig.engine.createSession();
    expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!)).toBe("");
    breakable.breakAfter(1);
    expect(bitDifference(await session.decode(expected.ids[0]!), expected.bits[1]!)).toBe("");
    expect(rig.engine.stats().deviceLosses).toBe(2);
    close(rig);
  });

  it("again and again: DeviceError after some tries, and the next step that may live brings the same bits", async () => {
    const rig = await open({ gpuBudgetBytes: smallest });
    const { breakable, engine } = rig;
    const session = await engine.createSession();
    const endless = setInterval(() => breakable.breakNow(), 5);
    const error: unknown = await session.prefill(PROMPT).catch((reason: unknown) => reason);
    clearInterval(endless);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({ code: "device-lost" });
    expect(session.tokens).toEqual([]);
    expect(bitDifference(await session.prefill(PROMPT), expected.bits[0]!)).toBe("");
    close(rig);
  });
});
