/** Generation that is steered: thoughts with a budget, answers held to something, over a session that gives set logits. */
import { describe, expect, test } from "vitest";
import type { Session } from "../../../src/engine/session.ts";
import { UnsupportedError, UsageError } from "../../../src/errors.ts";
import { generate } from "../../../src/generate/generate.ts";
import type { Drawn, GenerateSettings, ThinkingSettings } from "../../../src/generate/settings.ts";
import type { Held } from "../../../src/grammar/types.ts";

const VOCAB = 32;
const STOP = 31;
const THINKING: ThinkingSettings = { open: [20], close: [21] };
const PROMPT = [1, 2];

/** A session whose model wants the ids of `wishes` one after another, and STOP then; the second choice is one id higher. */
function wishful(wishes: readonly number[], contextLength = 100) {
  const tokens = [...PROMPT];
  const steps = { gpu: 0, host: 0 };
  const wish = (): number => wishes[tokens.length - PROMPT.length] ?? STOP;
  const session = {
    contextLength,
    vocabSize: VOCAB,
    tokens,
    get length() {
      return tokens.length;
    },
    sampleNext: async () => {
      steps.gpu += 1;
      return wish();
    },
    nextLogits: async () => {
      steps.host += 1;
      return Float32Array.from({ length: VOCAB }, (_, id) => (id === wish() ? 9 : id === wish() + 1 ? 5 : 0));
    },
    append: (id: number) => tokens.push(id),
  };
  return { session: session as unknown as Session, steps };
}

/** Holds a text to `rows`: the ids that may come at each place, the text ending behind the last. */
function holder(rows: readonly (readonly number[])[], mayEndAt = rows.length) {
  const accepted: number[] = [];
  let disposed = 0;
  const held: Held = {
    allowed: async () => {
      const mask = new Int32Array(1);
      for (const id of rows[accepted.length] ?? []) mask[0]! |= 1 << id;
      const at = accepted.length;
      return { mask, mayEnd: at >= mayEndAt, mustEnd: at >= rows.length };
    },
    accept: (id) => accepted.push(id),
    dispose: () => {
      disposed += 1;
    },
  };
  return { hold: async () => held, accepted, disposals: () => disposed };
}

async function run(
  wishes: readonly number[],
  settings: GenerateSettings,
  held?: ReturnType<typeof holder>,
): Promise<{ ids: number[]; drawn: Drawn[]; reason: string; steps: { gpu: number; host: number } }> {
  const { session, steps } = wishful(wishes);
  const drawing = generate(session, settings, [STOP], () => undefined, held?.hold);
  const drawn: Drawn[] = [];
  for (;;) {
    const { value, done } = await drawing.next();
    if (done) return { ids: drawn.map(({ id }) => id), drawn, reason: value, steps };
    drawn.push(value);
  }
}

const CONSTRAINT = { type: "json_object" } as const;

describe("a thought's budget", () => {
  test("closes it when it is used up, and the answer goes on from there", async () => {
    const wishes = [20, 5, 5, 5, 5, 5, 6, 7];
    const thinking = { ...THINKING, budget: 3 };
    const { ids, drawn, reason, steps } = await run(wishes, { thinking });
    expect(ids).toEqual([20, 5, 5, 5, 21, 5, 6, 7]);
    expect(drawn.filter(({ forced }) => forced).map(({ id }) => id)).toEqual([21]);
    expect(reason).toBe("stop");
    expect(steps).toEqual({ gpu: 8, host: 0 });
  });

  test("counts from the start where the prompt has opened the thought", async () => {
    expect((await run([5, 5, 5, 6], { thinking: { ...THINKING, inside: true, budget: 2 } })).ids).toEqual([
      5, 5, 21, 6,
    ]);
  });

  test("of 0 closes at once", async () => {
    expect((await run([5, 6], { thinking: { ...THINKING, inside: true, budget: 0 } })).ids).toEqual([21, 6]);
    expect((await run([20, 5, 6], { thinking: { ...THINKING, budget: 0 } })).ids).toEqual([20, 21, 6]);
  });

  test("leaves a thought alone that ends by itself, and every later one has its own", async () => {
    const wishes = [20, 5, 21, 6, 20, 5, 5, 5, 7];
    expect((await run(wishes, { thinking: { ...THINKING, budget: 2 } })).ids).toEqual([20, 5, 21, 6, 20, 5, 5, 21, 7]);
  });

  test("writes what it is told, but for what the thought ends with already", async () => {
    const forced = [10, 21, 11];
    const thinking = { ...THINKING, inside: true, budget: 2, forced };
    expect((await run([5, 6, 7, 8, 9, 12], { thinking })).ids).toEqual([5, 6, 10, 21, 11, 12]);
    expect((await run([5, 10, 7, 8, 12], { thinking })).ids).toEqual([5, 10, 21, 11, 12]);
  });

  test("knows markers of several ids", async () => {
    const thinking = { open: [20, 22], close: [21, 22], budget: 2 };
    expect((await run([20, 22, 5, 6, 7, 7, 8], { thinking })).ids).toEqual([20, 22, 5, 6, 21, 22, 8]);
    expect((await run([20, 5, 22, 6, 7], { thinking })).ids).toEqual([20, 5, 22, 6, 7]);
  });

  test("counts written ids against maxTokens", async () => {
    const { ids, reason } = await run([20, 5, 5, 5], { thinking: { ...THINKING, budget: 1 }, maxTokens: 3 });
    expect([ids, reason]).toEqual([[20, 5, 21], "length"]);
  });

  test("gives log-probabilities for written ids too", async () => {
    const { drawn } = await run([20, 5], { thinking: { ...THINKING, budget: 0 }, maxTokens: 2, topLogprobs: 1 });
    expect(drawn[1]).toMatchObject({ id: 21, forced: true, top: [{ id: 5 }] });
    expect(drawn[1]!.logprob).toBeLessThan(drawn[1]!.top![0]!.logprob);
  });
});

describe("a constraint", () => {
  test("takes the likeliest of what is allowed, and ends when nothing may follow", async () => {
    const held = holder([[3, 4], [6], [7, 8]]);
    const { ids, reason } = await run([3, 9, 8, 12], { constraint: CONSTRAINT }, held);
    expect([ids, reason]).toEqual([[3, 6, 8], "stop"]);
    expect(held.accepted).toEqual([3, 6, 8]);
    expect(held.disposals()).toBe(1);
  });

  test("lets a stop id come only where the text may end", async () => {
    const early = holder([[3], [4, STOP], [5]], 3);
    expect((await run([STOP, STOP, STOP], { constraint: CONSTRAINT }, early)).ids).toEqual([3, 4, 5]);
    const open = holder([[3], [4], [5]], 1);
    const { ids, reason } = await run([STOP, STOP, STOP], { constraint: CONSTRAINT }, open);
    expect([ids, reason]).toEqual([[3], "stop"]);
  });

  test("says when maxTokens cut the text", async () => {
    const cut = await run([3, 3, 3], { constraint: CONSTRAINT, maxTokens: 2 }, holder([[3], [3], [3]]));
    expect([cut.ids, cut.reason]).toEqual([[3, 3], "length"]);
    const whole = await run([3, 3, 3], { constraint: CONSTRAINT, maxTokens: 3 }, holder([[3], [3], [3]]));
    expect([whole.ids, whole.reason]).toEqual([[3, 3, 3], "stop"]);
  });

  test("says when the vocabulary has nothing for it", async () => {
    const may = await run([3], { constraint: CONSTRAINT, stopIds: [] }, holder([[3], [], [4]], 1));
    expect([may.ids, may.reason]).toEqual([[3], "stop"]);
    const stuck = holder([[3], [], [4]], 3);
    const running = run([3], { constraint: CONSTRAINT }, stuck);
    await expect(running).rejects.toThrow(UsageError);
    expect(stuck.disposals()).toBe(1);
  });

  test("leaves thoughts free, which may come first and must not end the text", async () => {
    const held = holder([[3], [4]]);
    const { ids, reason } = await run([20, 9, STOP, 21, 8, 8], { constraint: CONSTRAINT, thinking: THINKING }, held);
    expect(ids.slice(0, 2)).toEqual([20, 9]);
    expect(ids[2]).not.toBe(STOP);
    expect([ids.slice(3), reason]).toEqual([[21, 3, 4], "stop"]);
    expect(held.accepted).toEqual([3, 4]);
  });

  test("holds an answer that begins at once, and one behind a thought that was closed for it", async () => {
    const none = holder([[3], [4]]);
    expect((await run([9, 9], { constraint: CONSTRAINT, thinking: THINKING }, none)).ids).toEqual([3, 4]);
    const thinking = { ...THINKING, inside: true, budget: 1, forced: [21, 11] };
    const closed = holder([[3], [4]]);
    expect((await run([9, 9, 9, 9], { constraint: CONSTRAINT, thinking }, closed)).ids).toEqual([9, 21, 11, 3, 4]);
    expect(closed.accepted).toEqual([3, 4]);
  });

  test("writes what leads to the answer where a format has channels", async () => {
    const thinking = { open: [20, 23], close: [21], answer: [20, 24], forced: [21, 25, 20, 24] };
    const settings = { constraint: CONSTRAINT, thinking };
    expect((await run([20, 23, 9, 21, 8], settings, holder([[3], [4]]))).ids).toEqual([
      20, 23, 9, 21, 25, 20, 24, 3, 4,
    ]);
    expect((await run([20, 24, 9], settings, holder([[3], [4]]))).ids).toEqual([20, 24, 3, 4]);
    expect((await run([9, 9, 9], settings, holder([[3], [4]]))).ids.slice(0, 1)).toEqual([20]);
  });

  test("needs something that holds, and is refused at once without", () => {
    const { session } = wishful([]);
    expect(() => generate(session, { constraint: CONSTRAINT }, [], () => undefined)).toThrow(UnsupportedError);
  });
});

describe("draws on the host only for what needs it", () => {
  const needing: GenerateSettings[] = [
    { topLogprobs: 0 },
    { logitBias: { 3: 1 } },
    { presencePenalty: 0.1 },
    { frequencyPenalty: -0.1 },
    { repetitionPenalty: 1.1 },
    { minP: 0.1, temperature: 1 },
  ];
  test.each(needing)("%j", async (settings) => {
    expect((await run([3], { ...settings, maxTokens: 1 })).steps).toEqual({ gpu: 0, host: 1 });
  });
  const plain: GenerateSettings[] = [
    {},
    { temperature: 0.7, topK: 4, topP: 0.5, seed: 3 },
    { logitBias: { 3: 0 }, presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 1, minP: 0 },
    { minP: 0.5 },
    { thinking: THINKING },
  ];
  test.each(plain)("not %j", async (settings) => {
    expect((await run([3], { ...settings, maxTokens: 1 })).steps).toEqual({ gpu: 1, host: 0 });
  });

  test("a bias and a penalty change what comes", async () => {
    expect((await run([3, 3], { logitBias: { 3: -5 }, maxTokens: 2 })).ids).toEqual([4, 4]);
    expect(
      (await run([3, 3], { presencePenalty: 2, frequencyPenalty: 2, maxTokens: 3, stopIds: [] })).ids,
    ).toHaveLength(3);
    expect((await run([3, 3, 3], { frequencyPenalty: 2, maxTokens: 3 })).ids).toEqual([3, 3, 3]);
    expect((await run([3, 3, 3, 3], { frequencyPenalty: 2, presencePenalty: 1, maxTokens: 4 })).ids).toEqual([
      3, 3, 4, 3,
    ]);
  });
});
