/**
 * Bias, penalties, log-probabilities and constraints on the built-in model, through the public door: equal at any budget,
 * equal to what is computed by hand from logits, and plain settings untouched by them.
 */
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Drawn, FinishReason, GenerateOptions } from "../../src/client/types.ts";
import { loadModel, type Model, type Session, UsageError } from "../../src/index.ts";
import { argmax, sample } from "../reference/sample.ts";
import { TALES_URL } from "./fixtures.ts";

const TOKENS = 4;
const BEGINNING = "Once upon a time there was a little";

let model: Model;
let session: Session;
let prompt: number[];
let fullBytes: number;
beforeAll(async () => {
  model = await loadModel(TALES_URL, { cache: false, contextLength: 160 });
  fullBytes = (await model.memory()).fullBudgetBytes;
  session = await model.createSession();
  prompt = await model.encode(BEGINNING);
});
afterAll(async () => {
  expect(await model.dispose()).toEqual({});
});

async function run(options: GenerateOptions): Promise<{ drawn: Drawn[]; ids: number[]; reason: FinishReason }> {
  await session.rewind(0);
  await session.prefill(prompt);
  const drawing = session.generateTokens({ maxTokens: TOKENS, stopIds: [], ...options });
  const drawn: Drawn[] = [];
  for (;;) {
    const { value, done } = await drawing.next();
    if (done) return { drawn, ids: drawn.map(({ id }) => id), reason: value };
    drawn.push(value);
  }
}

/** Ids that `choose` takes from the logits of prefill and decode, and those logits. */
async function byHand(choose: (logits: Float32Array, position: number, ids: readonly number[]) => number) {
  await session.rewind(0);
  const ids: number[] = [];
  const steps = [await session.prefill(prompt)];
  for (let i = 0; i < TOKENS; i++) {
    ids.push(choose(steps[i]!, prompt.length + i, ids));
    steps.push(await session.decode(ids[i]!));
  }
  return { ids, steps };
}

const STEERED = {
  temperature: 0.8,
  topK: 40,
  seed: 11,
  logitBias: { 20: 2, 300: -4 },
  presencePenalty: 0.6,
  frequencyPenalty: 0.3,
  repetitionPenalty: 1.3,
  topLogprobs: 3,
};

/** STEERED's logits, an id at a time. */
function steered(logits: Float32Array, ids: readonly number[]): number[] {
  return Array.from(logits, (logit, id) => {
    const biased = logit + (id === 20 ? 2 : id === 300 ? -4 : 0);
    const isSeen = prompt.includes(id) || ids.includes(id);
    const repeated = isSeen ? (biased > 0 ? biased / 1.3 : biased * 1.3) : biased;
    const times = ids.filter((other) => other === id).length;
    return times > 0 ? repeated - 0.6 - times * 0.3 : repeated;
  });
}

it("draws what is computed by hand from the logits, at a quarter of the budget and at all of it", async () => {
  const { ids, steps } = await byHand((logits, position, before) => {
    return sample({ logits: steered(logits, before), temperature: 0.8, topK: 40, topP: 1, seed: 11, position });
  });
  for (const fraction of [1, 0.25]) {
    await model.setBudget(Math.max((await model.memory()).minBudgetBytes, fraction * fullBytes));
    const { drawn, ids: found } = await run(STEERED);
    expect(found).toEqual(ids);
    for (const [at, { id, logprob, top }] of drawn.entries()) {
      const logits = steps[at]!;
      const mass = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
      expect(logprob).toBeCloseTo(logits[id]! - Math.log(mass), 5);
      expect(top!.map(({ id }) => id)[0]).toBe(argmax(logits));
      expect(top).toHaveLength(3);
    }
  }
  await model.setBudget(fullBytes);
});

it("draws on the host what the GPU draws, greedily and by seeds", async () => {
  const settings = [{}, { temperature: 0.9, topK: 30, topP: 0.95, seed: 3 }];
  for (const plain of settings) {
    const onGpu = await run(plain);
    expect(onGpu.drawn[0]).toEqual({ id: onGpu.ids[0] });
    expect((await run({ ...plain, topLogprobs: 0 })).ids).toEqual(onGpu.ids);
  }
});

describe("constraints", () => {
  const name = { type: "string", maxLength: 3 };
  const schemas = [
    {
      type: "object",
      properties: { name, age: { type: "integer", minimum: 0, maximum: 99 } },
      required: ["name", "age"],
    },
    { type: "array", items: { enum: ["king", "queen", 3] }, minItems: 1, maxItems: 2 },
    { anyOf: [{ type: "boolean" }, { type: "object", properties: { name }, required: ["name"] }] },
  ];

  it("hold answers of the model to their schemas", async () => {
    const ajv = new Ajv2020({ strict: false });
    for (const [at, schema] of schemas.entries()) {
      const constraint = { type: "json_schema", schema } as const;
      const { ids, reason } = await run({ constraint, temperature: at % 2, seed: 5, maxTokens: 60 });
      const text = await model.decode(ids);
      expect(reason, text).toBe("stop");
      expect(ajv.validate(schema, JSON.parse(text)), text).toBe(true);
    }
  });

  it("that are wrong are refused, and the next one holds", async () => {
    const wrong = run({ constraint: { type: "ebnf", grammar: "root ::= nothing" } });
    await expect(wrong).rejects.toThrow(/Rule "nothing" is not defined/);
    await expect(run({ constraint: { type: "regex", pattern: "(" } })).rejects.toBeInstanceOf(UsageError);
    const { ids } = await run({ constraint: { type: "regex", pattern: "(the|a) [a-z]{3}" }, maxTokens: 20 });
    expect(await model.decode(ids)).toMatch(/^(the|a) [a-z]{3}$/);
  });

  it("that are cut say so", async () => {
    const { reason } = await run({ constraint: { type: "json_object" }, maxTokens: 1 });
    expect(reason).toBe("length");
  });
});
