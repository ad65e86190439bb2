/** Chats through the public door, on the built-in model with a template that only joins what was said. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChatCompletionChunk, ChatCompletionMessageParam } from "../../src/client/types.ts";
import { loadModel, type Model, UnsupportedError, UsageError } from "../../src/index.ts";
import { TALES_URL } from "./fixtures.ts";

const TEMPLATE = "{% for message in messages %}{{ message.content }}\n\n{% endfor %}";
const BEGINNING = "Once upon a time there was a little girl who lived in a small house at the edge of the forest.";
const GREEDY = { chat_template: TEMPLATE, temperature: 0, max_tokens: 12 } as const;

const user = (content: string): ChatCompletionMessageParam => ({ role: "user", content });

let model: Model;
beforeAll(async () => {
  model = await loadModel(TALES_URL, { cache: false });
});
afterAll(async () => {
  expect(await model.dispose()).toEqual({});
});

async function collected(stream: AsyncIterable<ChatCompletionChunk>) {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  return { chunks, text };
}

/** What a session of its own says to the same ids. */
async function spoken(text: string, maxTokens: number, settings = {}): Promise<{ text: string; ids: number[] }> {
  const session = await model.createSession();
  await session.prefill(await model.encode(text, { addSpecial: false }));
  const ids: number[] = [];
  for await (const { id } of session.generateTokens({ maxTokens, ...settings })) ids.push(id);
  await session.dispose();
  return { text: await model.decode(ids), ids };
}

describe("an answer", () => {
  it("is what a session says to the same ids, streamed or not", async () => {
    const expected = await spoken(`${BEGINNING}\n\n`, 12);
    const whole = await model.chat.completions.create({ ...GREEDY, messages: [user(BEGINNING)] });
    expect(whole.choices[0]?.message.content).toBe(expected.text);
    expect(whole.choices[0]?.finish_reason).toBe("length");
    expect(whole.usage.completion_tokens).toBe(12);
    const stream = await model.chat.completions.create({
      ...GREEDY,
      messages: [user(BEGINNING)],
      stream: true,
      stream_options: { include_usage: true },
    });
    const { chunks, text } = await collected(stream);
    expect(text).toBe(expected.text);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("length");
    const usage = chunks.at(-1)?.usage;
    expect(usage?.prompt_tokens).toBe(whole.usage.prompt_tokens);
    // The same prompt again: all of it is there but the token that the answer follows.
    expect(usage?.prompt_tokens_details.cached_tokens).toBe(whole.usage.prompt_tokens - 1);
    expect(usage?.octavo?.prefillTokens).toBe(1);
    expect(usage?.octavo?.decodeTokens).toBeGreaterThan(0);
  });
});

describe("refuses", () => {
  it("a model without a template, and says what to give", async () => {
    const asked = model.chat.completions.create({ messages: [user("Hi")] });
    await expect(asked).rejects.toThrow(UnsupportedError);
    await expect(asked).rejects.toThrow(/chat_template/);
  });

  it("fields that nobody knows, by name, in the classes of the page", async () => {
    const params = { ...GREEDY, messages: [user("Hi")], top_q: 1, functions: [] };
    const asked = model.chat.completions.create(params);
    await expect(asked).rejects.toThrow(UsageError);
    await expect(asked).rejects.toThrow(/Unknown fields: top_q, functions \(give tools\)/);
  });
});
