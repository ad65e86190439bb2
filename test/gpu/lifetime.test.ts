/**
 * A model's life through the public door: a device that is lost under a stream, sessions that are saved and restored, texts
 * embedded, and aborts and ends in the middle of each, while fetches hang.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LoadOptions, ModelWarning } from "../../src/client/types.ts";
import { FormatError, inspectModel, loadModel, type Model, type Session } from "../../src/index.ts";
import { createRandom } from "../reference/compare.ts";
import { HOLDS, MISHAPS, type Mishap } from "./mishaps.ts";

const CONTEXT = 48;
const PROMPT = [5, 266, 17, 90, 201, 44, 44, 8];
const SOURCE = `${location.origin}/test/fixtures/mai/one-token-f32/`;
/** An answer to an abort that takes longer has waited for something that hangs. */
const SOON_MS = 8000;

const channel = new BroadcastChannel(MISHAPS);
const happens = (mishap: Mishap) => channel.postMessage(mishap);
/** `mishap` from now on. */
async function holds(mishap: Mishap): Promise<void> {
  const held = new Promise((resolve) => {
    channel.onmessage = ({ data }) => data === HOLDS && resolve(undefined);
  });
  happens(mishap);
  await held;
}
const warnings: ModelWarning[] = [];
const options: LoadOptions = {
  contextLength: CONTEXT,
  cache: false,
  ramBudgetBytes: 0,
  workerUrl: new URL("./mishaps.worker.ts", import.meta.url),
  onWarning: (warning) => void warnings.push(warning),
};

let model: Model;
let session: Session;
let greedy: number[];
let embedding: Float32Array;
beforeAll(async () => {
  model = await loadModel(SOURCE, options);
  const { minBudgetBytes, kvBytes } = await model.memory();
  await model.setBudget(minBudgetBytes + 2 * kvBytes); // room for more sessions, and something to fetch in every step
  session = await model.createSession();
  greedy = await generated(8);
  embedding = await model.embed(PROMPT);
});
afterAll(async () => {
  happens("flow");
  expect(await model.dispose()).toEqual({});
  channel.close();
});

/** The prompt anew, and what is generated behind it; `at` runs when so many ids have come. */
async function generated(maxTokens: number, at?: (count: number) => void, signal?: AbortSignal): Promise<number[]> {
  await session.rewind(0);
  await session.prefill(PROMPT, { ...(signal ? { signal } : {}) });
  const ids: number[] = [];
  for await (const id of session.generate({ maxTokens, stopIds: [], ...(signal ? { signal } : {}) })) {
    ids.push(id);
    at?.(ids.length);
  }
  return ids;
}

const failure = (run: Promise<unknown>) =>
  run.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a device that is lost", () => {
  it("under a stream: the same ids, one warning, one count", async () => {
    const { int } = createRandom();
    const when = int(1, 6);
    expect(await generated(8, (count) => count === when && happens("break"))).toEqual(greedy);
    expect(warnings.map(({ code }) => code)).toEqual(["device-lost"]);
    const { deviceLosses, budgetsLowered } = await model.stats();
    expect([deviceLosses, budgetsLowered]).toEqual([1, 0]);
  });
});

describe("a session", () => {
  it("is saved, forked, and restored into another that goes on the same", async () => {
    await session.rewind(0);
    await session.prefill(PROMPT);
    for await (const _ of session.generate({ maxTokens: 3, stopIds: [] }));
    const snapshot = await session.save();
    const fork = await session.fork();
    await session.rewind(0);
    const restored = await model.restoreSession(snapshot);
    expect(restored.contextLength).toBe(CONTEXT);
    for (const other of [restored, fork]) {
      expect(await other.tokens()).toEqual([...PROMPT, ...greedy.slice(0, 3)]);
      const ids: number[] = [];
      for await (const id of other.generate({ maxTokens: 5, stopIds: [] })) ids.push(id);
      expect(ids).toEqual(greedy.slice(3));
      await other.dispose();
    }
    const cut = await failure(model.restoreSession(snapshot.slice(0, -1)));
    expect(cut).toBeInstanceOf(FormatError);
    await expect(model.restoreSession(snapshot, { contextLength: 8 })).rejects.toThrow(/context of 48/);
  });
});

describe("an abort", () => {
  it("of anything while its fetches hang comes soon, frees what was taken, and changes nothing that follows", async () => {
    const { int } = createRandom();
    await generated(2);
    const snapshot = await session.save();
    const { gpuBytes } = await model.stats();
    const sound = { ...gpuBytes, staging: 0 };
    const tasks: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      prefill: (signal) => session.prefill(PROMPT.toReversed(), { signal }),
      generate: (signal) => generated(8, undefined, signal),
      embed: (signal) => model.embed([1, 2, 3, 4, 5, 6, 7], { signal }),
      save: (signal) => session.save({ signal }),
      fork: (signal) => session.fork({ signal }),
      restore: (signal) => model.restoreSession(snapshot, { signal }),
      session: (signal) => model.createSession({ signal }),
    };
    for (const [name, task] of Object.entries(tasks)) {
      await generated(2);
      const stop = new AbortController();
      await holds("hang");
      // What fetches nothing itself waits behind a step that hangs.
      const ahead = new AbortController();
      const fetches = ["prefill", "generate", "embed"].includes(name);
      const first = fetches ? undefined : failure(session.prefill(PROMPT.slice(3), { signal: ahead.signal }));
      const running = failure(task(stop.signal));
      await new Promise((resolve) => setTimeout(resolve, int(0, 40)));
      const start = performance.now();
      stop.abort();
      const error = await running;
      expect(error, name).toMatchObject({ name: "AbortError" });
      expect(performance.now() - start, name).toBeLessThan(SOON_MS);
      ahead.abort();
      await first;
      await holds("flow");
    }
    expect({ ...(await model.stats()).gpuBytes, staging: 0 }).toEqual(sound);
    expect(await generated(8)).toEqual(greedy);
    expect(await model.embed(PROMPT)).toEqual(embedding);
  });

  it("of a load and of an inspection that hang: soon, and the worker is gone", async () => {
    for (const open of [loadModel, inspectModel]) {
      const stop = new AbortController();
      const workerUrl = new URL("./mishaps.worker.ts#hang", import.meta.url);
      const running = failure(open(SOURCE, { workerUrl, signal: stop.signal, contextLength: 8 }));
      const start = performance.now();
      setTimeout(() => stop.abort(), 200);
      expect(await running).toMatchObject({ name: "AbortError" });
      expect(performance.now() - start).toBeLessThan(SOON_MS);
    }
  });
});

describe("the end of a model", () => {
  it("in the middle of anything, with its fetches hanging, leaves no buffer and no call waiting", async () => {
    const { int } = createRandom();
    const other = await loadModel(SOURCE, options);
    const { minBudgetBytes, kvBytes } = await other.memory();
    await other.setBudget(minBudgetBytes + 3 * kvBytes);
    const own = await other.createSession();
    await own.prefill([1, 2, 3]);
    happens("hang");
    const running = [
      own.prefill(PROMPT),
      own.decode(7),
      own.save(),
      own.fork(),
      other.embed([9, 10, 11]),
      other.createSession(),
      own.generate({ maxTokens: 3 }).next(),
    ].map(failure);
    await new Promise((resolve) => setTimeout(resolve, int(0, 60)));
    expect(await other.dispose()).toEqual({});
    for (const error of await Promise.all(running))
      expect(error).toMatchObject({ name: expect.stringMatching(/Error$/) });
    happens("flow");
  });
});
