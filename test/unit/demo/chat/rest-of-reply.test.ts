/** A reply that was cut off goes on: the ids that the model is given must be those that it would have had before it. */
import { describe, expect, test } from "vitest";
import { answerChunks, canGoOn, promptLength } from "../../../../demo/chat/answer-stream.ts";
import type { Answer, Message } from "../../../../demo/chat/conversation.ts";
import { DEFAULTS } from "../../../../demo/settings/settings.ts";
import type { ChatOptions, Model } from "../../../../src/index.ts";
import { loadTokenizer } from "../../../../src/node.ts";
import { chatTales } from "../../../fixtures/chat-tales.ts";

const tokenizer = await loadTokenizer({ name: "chat-tales.gguf", bytes: chatTales() });
const [OPEN, CLOSE] = ["<think>", "</think>"].map((text) => tokenizer.encode(text, { allowSpecial: true })[0]);

/** A model with that tokenizer, whose every completion is `text`, a few characters at a time. */
function modelThatSays(text: string) {
  const asked: { ids: readonly number[]; options: Record<string, unknown> }[] = [];
  const model = {
    chatFormat: async () => tokenizer.chatFormat,
    chatPrompt: (messages: { role: string; content: string }[], options?: ChatOptions) =>
      tokenizer.chatPrompt(messages, options),
    encode: async (...args: Parameters<typeof tokenizer.encode>) => tokenizer.encode(...args),
    complete: async (ids: readonly number[], options: Record<string, unknown>) => {
      asked.push({ ids, options });
      return pieces(text);
    },
  };
  return { model: model as unknown as Model, asked };
}

async function* pieces(text: string) {
  for (const piece of text.match(/.{1,3}/gsu) ?? []) yield { choices: [{ text: piece, finish_reason: null }] };
  yield { choices: [{ text: "", finish_reason: "length" }] };
  yield { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } };
}

const cut = (reasoning: string, content: string): Answer => ({
  ...{ id: "a", parent: "q", role: "assistant", content, state: "length", model: "m", prose: false, reasoning },
  ...{ thoughtMs: null, calls: [], figures: null, trouble: "", view: null },
});

async function goOn(reply: Answer, says: string, change: Partial<typeof DEFAULTS> = {}) {
  const { model, asked } = modelThatSays(says);
  const path: Message[] = [{ id: "q", parent: null, role: "user", content: "Tell me of <think>" }, reply];
  const settings = { ...DEFAULTS, systemPrompt: "Be kind.", maxTokens: 9, ...change };
  const request = { path, before: reply, prose: false, settings, seed: 7, signal: new AbortController().signal };
  const said = { content: "", reasoning: "" };
  let ended: unknown;
  let usage: unknown;
  for await (const chunk of answerChunks(model, request)) {
    const choice = chunk.choices[0];
    said.content += choice?.delta.content ?? "";
    said.reasoning += choice?.delta.reasoning_content ?? "";
    ended = choice?.finish_reason ?? ended;
    usage = chunk.usage ?? usage;
  }
  const ids = asked[0]?.ids ?? [];
  expect(await promptLength(model, request)).toBe(ids.length);
  return { said, ended, usage, ids, text: tokenizer.decode([...ids]), options: asked[0]?.options };
}

const PROMPT = "Be kind.\n<|user|>Tell me of <think><|assistant|><think>\n";

describe("the rest of a reply", () => {
  test("goes on in the answer, behind a thought that is closed", async () => {
    const { said, ended, usage, ids, text, options } = await goOn(cut("a fox", "Once"), " upon");
    expect(text).toBe(`${PROMPT}a fox\n</think>\n\nOnce`);
    expect(ids.filter((id) => id === OPEN || id === CLOSE)).toEqual([OPEN, CLOSE]); // the reader's is text
    expect(said).toEqual({ content: " upon", reasoning: "" });
    expect([ended, usage]).toEqual(["length", { prompt_tokens: 1, completion_tokens: 2 }]);
    expect(options).toMatchObject({ stream: true, max_tokens: 9, seed: 7, temperature: DEFAULTS.temperature });
  });

  test("goes on in a thought that was cut off, and from there into the answer", async () => {
    const { said, text } = await goOn(cut("a fox", ""), " or a hare</think>Once");
    expect(text).toBe(`${PROMPT}a fox`);
    expect(said).toEqual({ content: "Once", reasoning: " or a hare" });
  });

  test("stays without a thought where the settings wanted none", async () => {
    const { said, text } = await goOn(cut("", "Once"), " upon", { thinkingBudget: 0 });
    expect(text).toBe(`${PROMPT}</think>\n\nOnce`);
    expect(said.content).toBe(" upon");
  });

  test("is not offered for calls and channels, whose beginning is not kept as it was written", () => {
    expect(canGoOn("tags", cut("", "Once"))).toBe(true);
    expect(canGoOn("channels", cut("", "Once"))).toBe(false);
    expect(canGoOn("plain", { ...cut("", ""), calls: [{ name: "f", arguments: "{}" }] })).toBe(false);
  });
});
