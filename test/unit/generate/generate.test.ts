/** Generation over a session that only counts: what stops it, what it refuses, what it leaves in the timeline. */
import { describe, expect, test } from "vitest";
import type { Session } from "../../../src/engine/session.ts";
import { UsageError } from "../../../src/errors.ts";
import { type GenerateSettings, generate } from "../../../src/generate/generate.ts";
import type { Sampling } from "../../../src/kernels/sample.ts";

/** A session of `length` tokens that draws 100, 101, 102 and so on. */
function fakeSession(length = 3, contextLength = 20) {
  const timeline = Array.from({ length }, () => 0);
  const asked: Sampling[] = [];
  const signals: (AbortSignal | undefined)[] = [];
  const session = {
    contextLength,
    vocabSize: 1000,
    get length() {
      return timeline.length;
    },
    sampleNext: async (sampling: Sampling, signal?: AbortSignal) => {
      signal?.throwIfAborted();
      asked.push(sampling);
      signals.push(signal);
      return 100 + asked.length - 1;
    },
    append: (id: number) => timeline.push(id),
  };
  return { session: session as unknown as Session, timeline, asked, signals };
}

async function collect(session: Session, settings: GenerateSettings, modelStopIds: readonly number[] = []) {
  const ids: number[] = [];
  for await (const { id } of generate(session, settings, modelStopIds, () => undefined)) ids.push(id);
  return ids;
}

describe("ends", () => {
  test("after maxTokens", async () => {
    const { session, timeline } = fakeSession();
    expect(await collect(session, { maxTokens: 4 })).toEqual([100, 101, 102, 103]);
    expect(timeline).toEqual([0, 0, 0, 100, 101, 102, 103]);
  });

  test("at once with maxTokens 0: nothing is drawn", async () => {
    const { session, asked } = fakeSession();
    expect(await collect(session, { maxTokens: 0 })).toEqual([]);
    expect(asked).toEqual([]);
  });

  test("at a stop id of the model, which is neither yielded nor kept", async () => {
    const { session, timeline } = fakeSession();
    expect(await collect(session, {}, [7, 102])).toEqual([100, 101]);
    expect(timeline).toEqual([0, 0, 0, 100, 101]);
  });

  test("at the caller's stop ids, which stand in for the model's", async () => {
    expect(await collect(fakeSession().session, { stopIds: [103] }, [101])).toEqual([100, 101, 102]);
    expect(await collect(fakeSession(0, 4).session, { stopIds: [] }, [101])).toHaveLength(4);
  });

  test("when the context is full, and does not begin in a full one", async () => {
    const { session, asked } = fakeSession(17, 20);
    expect(await collect(session, {})).toEqual([100, 101, 102]);
    expect(await collect(session, {})).toEqual([]);
    expect(asked).toHaveLength(3);
  });

  test("when the reader leaves: no step is run ahead of it", async () => {
    const { session, asked, timeline } = fakeSession();
    for await (const { id } of generate(session, {}, [], () => undefined)) if (id === 101) break;
    expect(asked).toHaveLength(2);
    expect(timeline).toEqual([0, 0, 0, 100, 101]);
  });

  test("with the step's error, and the timeline as far as it came", async () => {
    const { session, timeline } = fakeSession();
    const controller = new AbortController();
    const run = async () => {
      for await (const { id } of generate(session, {}, [], () => controller.signal)) if (id === 101) controller.abort();
    };
    await expect(run()).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    expect(timeline).toEqual([0, 0, 0, 100, 101]);
  });
});

describe("asks", () => {
  test("greedily by default", async () => {
    const { session, asked } = fakeSession();
    await collect(session, { maxTokens: 1 });
    expect(asked).toEqual([{ temperature: 0, topK: 0, topP: 1, seed: 0 }]);
  });

  test("with the caller's settings, the same at every step", async () => {
    const { session, asked } = fakeSession();
    const settings = { temperature: 0.7, topK: 40, topP: 0, seed: 2 ** 32 - 1 };
    await collect(session, { ...settings, maxTokens: 3 });
    expect(asked).toEqual([settings, settings, settings]);
  });

  test("for a signal before every step", async () => {
    const { session, signals } = fakeSession();
    const given = [1, 2, 3].map(() => new AbortController().signal);
    let step = 0;
    for await (const { id } of generate(session, { maxTokens: 3 }, [], () => given[step++])) expect(id).toBe(99 + step);
    expect(signals).toEqual(given);
  });
});

describe("refuses at once, before anything is drawn", () => {
  const bad: [string, GenerateSettings][] = [
    ["maxTokens", { maxTokens: -1 }],
    ["maxTokens", { maxTokens: Number.NaN }],
    ["temperature", { temperature: -0.1 }],
    ["temperature", { temperature: Number.NaN }],
    ["temperature", { temperature: Number.POSITIVE_INFINITY }],
    ["topK", { topK: -1 }],
    ["topK", { topK: 1.5 }],
    ["topP", { topP: -0.01 }],
    ["topP", { topP: 1.01 }],
    ["topP", { topP: Number.NaN }],
    ["seed", { seed: -1 }],
    ["seed", { seed: 2 ** 32 }],
    ["seed", { seed: 0.5 }],
  ];
  test.each(bad)("%s: %o", (name, settings) => {
    const { session, asked } = fakeSession();
    const begin = () => generate(session, settings, [], () => undefined);
    expect(begin).toThrow(UsageError);
    expect(begin).toThrow(name);
    expect(asked).toEqual([]);
  });

  test("and takes what is just within", async () => {
    const edges: GenerateSettings[] = [
      { topP: 0 },
      { topP: 1 },
      { topK: 0 },
      { temperature: 0 },
      { seed: 0 },
      { seed: 2 ** 32 - 1 },
    ];
    for (const settings of edges) {
      expect(await collect(fakeSession().session, { ...settings, maxTokens: 1 })).toEqual([100]);
    }
  });
});
