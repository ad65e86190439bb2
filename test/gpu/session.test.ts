/** Sessions through the public door: what they refuse, where generation ends, what the timeline holds afterwards. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerateOptions } from "../../src/client/types.ts";
import { loadModel, type Model, type Session, UnsupportedError, UsageError } from "../../src/index.ts";
import { answer, bitDifference, openModel, shareDevice } from "./engines.ts";
import { maiFolder } from "./fixtures.ts";
import { fetchFolder } from "./service.ts";

const CONTEXT = 48;
const VOCAB = 300;
const PROMPT = [5, 266, 17, 90, 201, 44, 44, 8];

let model: Model;
let session: Session;
/** What greedy decoding says after PROMPT, by prefill and decode alone, in an engine of the page. */
let greedy: readonly number[];
/** One of these: the stop id that the model is given as its own. */
let ownStop: number;
beforeAll(async () => {
  const device = await shareDevice();
  const { engine } = await device.engine(await openModel(maiFolder("one-token-f32")), { contextLength: CONTEXT });
  greedy = (await answer(await engine.createSession(), PROMPT, 24)).ids;
  engine.dispose();
  ownStop = greedy.find((id, i) => i > 1 && greedy.indexOf(id) === i)!;
  const folder = await fetchFolder("one-token-f32");
  const config: Record<string, unknown> = JSON.parse(new TextDecoder().decode(folder["config.json"]));
  const bytes = new Uint8Array(new TextEncoder().encode(JSON.stringify({ ...config, eos_token_id: [299, ownStop] })));
  const files = Object.entries({ ...folder, "config.json": bytes }).map(([name, content]) => ({
    name,
    bytes: content,
  }));
  model = await loadModel(files, { contextLength: CONTEXT });
  session = await model.createSession();
});
afterAll(() => model.dispose());

/** The prompt anew, then the ids of one generation. */
async function generated(options: GenerateOptions): Promise<number[]> {
  await session.rewind(0);
  await session.prefill(PROMPT);
  return more(options);
}

async function more(options: GenerateOptions): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of session.generate({ stopIds: [], ...options })) ids.push(id);
  return ids;
}

async function refused(promise: Promise<unknown>, says: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(String(error)).toMatch(says);
  expect(error).toBeInstanceOf(UsageError);
}

describe("a session refuses", () => {
  it("ids outside the vocabulary, and changes nothing", async () => {
    await session.rewind(0);
    await session.prefill(PROMPT);
    for (const id of [-1, VOCAB, 1.5, Number.NaN, 2 ** 32]) {
      await refused(session.prefill([1, id]), new RegExp(`Token id ${id}: expected .* 0 to ${VOCAB - 1}`));
      await refused(session.decode(id), /Token id/);
    }
    expect(await session.tokens()).toEqual(PROMPT);
  });

  it("nothing to prefill, and nothing to continue", async () => {
    await refused(session.prefill([]), /at least one token/);
    await session.rewind(0);
    await refused(more({ maxTokens: 3 }), /prefill at least one token/);
    expect(await session.tokens()).toEqual([]);
  });

  it("more tokens than its context holds, and changes nothing", async () => {
    await session.rewind(0);
    await refused(session.prefill(Array(CONTEXT + 1).fill(1)), /context holds 48.*longer contextLength/s);
    await session.prefill(Array(CONTEXT).fill(1));
    await refused(session.decode(1), /has 48 tokens/);
    expect((await session.tokens()).length).toBe(CONTEXT);
  });

  it("a rewind to where it has not been", async () => {
    await session.rewind(0);
    await session.prefill(PROMPT);
    for (const length of [-1, PROMPT.length + 1, 0.5, Number.NaN]) {
      await refused(session.rewind(length), /expected a whole number from 0 to the timeline's 8/);
    }
    expect(await session.tokens()).toEqual(PROMPT);
  });

  it("sampling settings out of range", async () => {
    const wrong: [GenerateOptions, RegExp][] = [
      [{ temperature: -1 }, /temperature is -1/],
      [{ temperature: Number.NaN }, /temperature/],
      [{ topK: 1.5 }, /topK is 1.5/],
      [{ topK: -1 }, /topK/],
      [{ topP: 1.01 }, /topP is 1.01/],
      [{ topP: -0.1 }, /topP/],
      [{ seed: -1 }, /seed is -1/],
      [{ seed: 2 ** 32 }, /seed/],
      [{ maxTokens: -1 }, /maxTokens is -1/],
    ];
    for (const [options, says] of wrong) await refused(generated(options), says);
    expect(await session.tokens()).toEqual(PROMPT);
  });

  it("senseless contexts", async () => {
    for (const contextLength of [0, -1, 1.5, 2 ** 40]) {
      await refused(model.createSession({ contextLength }), /contextLength .*expected a whole number/);
    }
  });

  it("everything once it is disposed, while the model goes on", async () => {
    const other = await model.createSession({ contextLength: 8 });
    expect(other.contextLength).toBe(8);
    await other.prefill([1, 2]);
    const started = other.generate({ maxTokens: 4, stopIds: [] });
    expect((await started.next()).done).toBe(false);
    await other.dispose();
    await other.dispose();
    for (const call of [other.prefill([1]), other.decode(1), other.rewind(0), other.tokens(), started.next()]) {
      await refused(call, /session was disposed/);
    }
    expect((await generated({ maxTokens: 2 })).length).toBe(2);
  });
});

describe("generation", () => {
  it("gives what manual greedy decoding gives, as far as maxTokens", async () => {
    expect(await generated({ maxTokens: 0 })).toEqual([]);
    expect(await generated({ maxTokens: 1 })).toEqual(greedy.slice(0, 1));
    expect(await generated({ maxTokens: 10 })).toEqual(greedy.slice(0, 10));
    expect(await session.tokens()).toEqual([...PROMPT, ...greedy.slice(0, 10)]);
  });

  it("goes on where it was left, be it ended, broken off or decoded between", async () => {
    const ids = await generated({ maxTokens: 3 });
    for await (const id of session.generate({ stopIds: [] })) {
      ids.push(id);
      if (ids.length === 7) break;
    }
    expect(await session.tokens()).toEqual([...PROMPT, ...greedy.slice(0, 7)]);
    await session.decode(greedy[7]!);
    expect([...ids, greedy[7], ...(await more({ maxTokens: 4 }))]).toEqual(greedy.slice(0, 12));
  });

  it("leaves logits as manual decoding does", async () => {
    await generated({ maxTokens: 6 });
    const after = await session.decode(9);
    await session.rewind(0);
    await session.prefill(PROMPT);
    for (const id of greedy.slice(0, 6)) await session.decode(id);
    expect(bitDifference(await session.decode(9), after)).toBe("");
  });

  it("ends before a stop id, which is neither given nor kept", async () => {
    const at = greedy.findIndex((id, i) => i > 2 && greedy.indexOf(id) === i);
    expect(at).toBeGreaterThan(2);
    const stop = greedy[at]!;
    expect(await generated({ stopIds: [VOCAB - 1, stop] })).toEqual(greedy.slice(0, at));
    expect(await session.tokens()).toEqual([...PROMPT, ...greedy.slice(0, at)]);
    expect(await more({ stopIds: [stop] })).toEqual([]);
    expect(await more({ maxTokens: 2 })).toEqual(greedy.slice(at, at + 2));
  });

  it("ends at the model's own stop id when none is given", async () => {
    expect(model.spec.stopIds).toEqual([299, ownStop]);
    await session.rewind(0);
    await session.prefill(PROMPT);
    const ids: number[] = [];
    for await (const id of session.generate()) ids.push(id);
    expect(ids).toEqual(greedy.slice(0, greedy.indexOf(ownStop)));
  });

  it("ends when the context is full", async () => {
    const ids = await generated({});
    expect(ids.length).toBe(CONTEXT - PROMPT.length);
    expect((await session.tokens()).length).toBe(CONTEXT);
    expect(await more({ maxTokens: 5 })).toEqual([]);
    await session.rewind(CONTEXT - 2);
    expect(await more({})).toEqual(ids.slice(-2));
  });

  it("draws the same ids for a seed, others for another, and greedy ones where nothing else is left", async () => {
    const hot = { temperature: 1.5, maxTokens: 12 };
    const one = await generated({ ...hot, seed: 1 });
    expect(await generated({ ...hot, seed: 1 })).toEqual(one);
    expect(await generated({ ...hot, seed: 2 ** 32 - 1 })).not.toEqual(one);
    expect(one).not.toEqual(greedy.slice(0, 12));
    expect(await generated({ ...hot, topK: 1, seed: 5 })).toEqual(greedy.slice(0, 12));
    expect(await generated({ ...hot, topP: 0, seed: 5 })).toEqual(greedy.slice(0, 12));
    // What is drawn depends on the place in the timeline, not on how generation was cut.
    expect([
      ...(await generated({ ...hot, maxTokens: 5, seed: 1 })),
      ...(await more({ ...hot, maxTokens: 7, seed: 1 })),
    ]).toEqual(one);
  });

  it("draws only from the topK likeliest", async () => {
    for (let seed = 0; seed < 6; seed++) {
      await session.rewind(0);
      const logits = await session.prefill(PROMPT);
      const likeliest = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 3);
      const [id] = await more({ temperature: 3, topK: 3, maxTokens: 1, seed });
      expect(likeliest).toContain(id);
    }
  });

  it("ends with AbortError within a step, and the timeline holds what was given", async () => {
    await session.rewind(0);
    await session.prefill(PROMPT);
    const stop = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      for await (const id of session.generate({ signal: stop.signal, stopIds: [] })) {
        ids.push(id);
        if (ids.length === 4) stop.abort();
      }
    };
    await expect(run()).rejects.toMatchObject({ name: "AbortError" });
    expect(ids).toEqual(greedy.slice(0, 4));
    expect(await session.tokens()).toEqual([...PROMPT, ...ids]);
    expect(await more({ maxTokens: 4 })).toEqual(greedy.slice(4, 8));
    await expect(session.generate({ signal: stop.signal }).next()).rejects.toMatchObject({ name: "AbortError" });
  });

  it("of two sessions at once mixes nothing up", async () => {
    const other = await model.createSession();
    const reverse = PROMPT.toReversed();
    await other.prefill(reverse);
    const alone: number[] = [];
    for await (const id of other.generate({ maxTokens: 8, stopIds: [] })) alone.push(id);
    await other.rewind(reverse.length);
    const together = (async () => {
      const ids: number[] = [];
      for await (const id of other.generate({ maxTokens: 8, stopIds: [] })) ids.push(id);
      return ids;
    })();
    const [mine, theirs] = await Promise.all([generated({ maxTokens: 8 }), together]);
    expect(mine).toEqual(greedy.slice(0, 8));
    expect(theirs).toEqual(alone);
    await other.dispose();
  });
});

describe("a model", () => {
  it("without a tokenizer says so", async () => {
    await expect(model.encode("king")).rejects.toBeInstanceOf(UnsupportedError);
    await expect(model.decode([1])).rejects.toThrow(/tokenizer\.json/);
  });

  it("refuses settings that it does not know", async () => {
    const source = `${location.origin}/test/fixtures/mai/one-token-f32`;
    const policy = "fifo" as "lru";
    await refused(loadModel(source, { policy }), /policy.*fifo.*lru.*lfru/s);
    await refused(loadModel(source, { runAhead: -1 }), /runAhead is -1/);
    await refused(loadModel(source, { runAhead: Number.NaN }), /runAhead/);
    await refused(loadModel(source, { contextLength: 0 }), /contextLength 0/);
    await refused(loadModel(source, { contextLength: 2.5 }), /contextLength 2.5/);
  });

  // The last one: it ends the model.
  it("refuses everything once it is disposed", async () => {
    const fresh = await model.createSession();
    expect(await model.dispose()).toEqual({});
    expect(await model.dispose()).toEqual({});
    for (const call of [model.createSession(), model.stats(), model.memory(), model.residency(), fresh.prefill([1])]) {
      await refused(call, /model was disposed.*Load it again/);
    }
    await fresh.dispose();
  });
});
