/** Saved, restored and forked sessions go on bit for bit as the first one, without computing a token again. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { restoreSession } from "../../src/engine/restore-session.ts";
import type { Session } from "../../src/engine/session.ts";
import { FormatError, UsageError } from "../../src/errors.ts";
import {
  type Answer,
  answer,
  bitDifference,
  difference,
  openModel,
  type SharedDevice,
  shareDevice,
} from "./engines.ts";
import { goldenFile, maiFolder } from "./fixtures.ts";

const CONTEXT = 64;
const PROMPT = Array.from({ length: 21 }, (_, i) => (i * 37 + 11) % 250);
const NEXT = [9, 41, 3];
const GREEDY = { temperature: 0, topK: 0, topP: 1, seed: 0 };

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

/** What comes behind a timeline of some kind: a token that is drawn, tokens fed by both paths, and a far rewind. */
async function goOn(session: Session): Promise<Answer> {
  const drawn = await session.sampleNext(GREEDY);
  const fed = await answer(session, NEXT, 2);
  session.rewind(PROMPT.length - 6);
  const again = await session.prefill(NEXT);
  return { ids: [drawn, ...fed.ids], bits: [...fed.bits, new Uint32Array(again.buffer)] };
}

async function feed(session: Session): Promise<void> {
  await session.prefill(PROMPT);
  for (const id of NEXT) await session.decode(id);
  session.append(17); // waits for its step
}

const counted = (engine: Engine) => {
  const { prefillTokens, decodeTokens } = engine.stats();
  return prefillTokens + decodeTokens;
};

describe.each([
  ["sliding windows", () => maiFolder("base-f32")],
  ["short convolutions", () => goldenFile("lfm2moe-odd-f32")],
  ["latents", () => goldenFile("deepseek2-f32")],
])("over %s", (_, files) => {
  it("a session goes on elsewhere as it would have", async () => {
    const model = await openModel(files());
    // Chunks of 4, so that the rings have come round.
    const options = { contextLength: CONTEXT, prefillChunk: 4 };
    const { engine, gpu } = await device.engine(model, options);
    const session = await engine.createSession();
    await feed(session);
    const before = gpu.ledger.byOwner();
    const snapshot = await session.save();
    expect({ ...gpu.ledger.byOwner(), staging: 0 }).toEqual({ ...before, staging: 0 });
    const fork = await session.fork();
    const expected = await goOn(session);
    const computed = counted(engine);
    expect(fork.tokens).toEqual([...PROMPT, ...NEXT, 17]);
    expect(difference(await goOn(fork), expected)).toBe("");
    const forkCost = counted(engine) - computed;

    const budget = engine.memory().minBudgetBytes;
    const other = await device.engine(model, { ...options, gpuBudgetBytes: budget });
    const restored = await restoreSession(other.engine, snapshot);
    expect(restored.tokens).toEqual([...PROMPT, ...NEXT, 17]);
    expect(counted(other.engine)).toBe(0);
    expect(difference(await goOn(restored), expected)).toBe("");
    expect(counted(other.engine)).toBe(forkCost);
    expect(other.gpu.ledger.peakBytes).toBeLessThanOrEqual(budget);

    // What was documented: the cache's bytes a token, no more than windows hold, and little beside.
    const perToken = session.kvBytes / CONTEXT;
    expect(snapshot.byteLength).toBeLessThan(restored.kvBytes + 5 * CONTEXT + 1500);
    expect(snapshot.byteLength).toBeGreaterThan(0.2 * perToken * PROMPT.length);
    engine.dispose();
    other.engine.dispose();
    expect(other.gpu.ledger.byOwner()).toEqual({});
  });
});

describe("a snapshot is refused", () => {
  let engine: Engine;
  let snapshot: ArrayBuffer;
  beforeAll(async () => {
    const opened = await device.engine(await openModel(maiFolder("base-f32")), { contextLength: CONTEXT });
    engine = opened.engine;
    const session = await engine.createSession();
    await session.prefill(PROMPT);
    snapshot = await session.save();
    await engine.disposeSession(session);
  });
  afterAll(() => engine.dispose());

  it("cut short or damaged, of another context, and nothing is left of the attempt", async () => {
    const before = engine.stats().gpuBytes;
    await expect(restoreSession(engine, snapshot.slice(0, -7))).rejects.toBeInstanceOf(FormatError);
    const damaged = snapshot.slice(0);
    new Uint8Array(damaged)[snapshot.byteLength >> 1]! ^= 4;
    await expect(restoreSession(engine, damaged)).rejects.toBeInstanceOf(FormatError);
    await expect(restoreSession(engine, snapshot, 32)).rejects.toThrow(/context of 64 tokens.*32/);
    const stop = AbortSignal.abort();
    await expect(restoreSession(engine, snapshot, CONTEXT, stop)).rejects.toMatchObject({ name: "AbortError" });
    expect(engine.stats().gpuBytes).toEqual(before);
    const session = await restoreSession(engine, snapshot, CONTEXT);
    expect(session.length).toBe(PROMPT.length);
    await engine.disposeSession(session);
  });

  it("by a model of the same shape with other weights, and by one whose rings are longer", async () => {
    const spec = { ...engine.spec };
    const other = await device.engine(await openModel(maiFolder("norm-topk-bf16")), { contextLength: CONTEXT });
    await expect(restoreSession(other.engine, snapshot)).rejects.toThrow(/another model/);
    await expect(restoreSession(other.engine, snapshot)).rejects.toBeInstanceOf(UsageError);
    other.engine.dispose();
    // The same specification: only the fingerprint of the weights can tell.
    const { weights } = await openModel(maiFolder("base-f32"));
    const readVector: typeof weights.readVector = async (ref, signal) => {
      const values = await weights.readVector(ref, signal);
      if (ref === "outputNorm") values[0] = (values[0] ?? 0) + 1;
      return values;
    };
    const twin = await device.engine({ spec, weights: { ...weights, readVector } }, { contextLength: CONTEXT });
    await expect(restoreSession(twin.engine, snapshot)).rejects.toThrow(/another model/);
    twin.engine.dispose();
    const longer = await device.engine(await openModel(maiFolder("base-f32")), {
      contextLength: CONTEXT,
      prefillChunk: 4,
    });
    await expect(restoreSession(longer.engine, snapshot)).rejects.toThrow(/cut otherwise/);
    expect(longer.engine.stats().gpuBytes.kv).toBeUndefined();
    longer.engine.dispose();
  });

  it("a fork and its origin go their own ways", async () => {
    const session = await restoreSession(engine, snapshot);
    const fork = await session.fork();
    const expected = await session.prefill(NEXT);
    await fork.prefill([1, 2, 3, 4]);
    session.rewind(PROMPT.length);
    expect(bitDifference(await session.prefill(NEXT), expected)).toBe("");
    expect(fork.tokens).toEqual([...PROMPT, 1, 2, 3, 4]);
  });
});
