/** What is refused, and that it is refused by name. */
import { describe, expect, test } from "vitest";
import { templateMessages } from "../../../src/chat/messages.ts";
import { chatRequest, completionRequest } from "../../../src/chat/request.ts";
import { wantedTools } from "../../../src/chat/tools.ts";
import { UnsupportedError, UsageError } from "../../../src/errors.ts";
import { scriptedChat } from "./scripted.ts";

const messages = [{ role: "user", content: "Hi" }];

/** The request with fields of any kind, as JavaScript would send it. */
const ask = (fields: Record<string, unknown>) => chatRequest({ messages, ...fields } as never);

describe("a field out of range is named", () => {
  test.each([
    ["temperature", 2.1, /temperature is 2.1; expected a number from 0 to 2/],
    ["temperature", "1", /temperature is "1"/],
    ["top_p", -0.1, /a number from 0 to 1/],
    ["top_k", 1.5, /a whole number, -1 or more/],
    ["min_p", 2, /a number from 0 to 1/],
    ["seed", 0.5, /a whole number/],
    ["presence_penalty", -2.5, /from -2 to 2/],
    ["frequency_penalty", 3, /from -2 to 2/],
    ["repetition_penalty", 0, /above 0/],
    ["logit_bias", { 12: 101 }, /-100 to 100/],
    ["logit_bias", { word: 1 }, /token ids/],
    ["max_tokens", -1, /0 or more/],
    ["max_completion_tokens", 2.5, /whole number/],
    ["stop", ["a", ""], /none empty/],
    ["stop", Array(17).fill("x"), /up to 16/],
    ["n", 0, /from 1 to 16/],
    ["stream", "yes", /true or false/],
    ["stream_options", { include_usage: true, more: 1 }, /without more/],
    ["logprobs", 5, /true or false/],
    ["top_logprobs", 21, /from 0 to 20/],
    ["messages", "Hi", /an array/],
    ["tools", {}, /an array/],
    ["parallel_tool_calls", 1, /true or false/],
    ["reasoning_effort", "huge", /one of none, minimal, low, medium, high/],
    ["thinking", { type: "on" }, /type is one of enabled, disabled/],
    ["thinking", { budget_tokens: 1 }, /with type/],
    ["thinking_budget", -1, /0 or more/],
    ["chat_template", 1, /a text/],
    ["chat_template_kwargs", [], /an object/],
    ["prefix_reuse", "some", /one of all, exact, none/],
    ["response_format", { type: "xml" }, /one of text, json_object, json_schema, regex, grammar/],
    ["response_format", { type: "json_schema" }, /with json_schema/],
    ["response_format", { type: "json_schema", json_schema: { name: "a" } }, /json_schema is an object with schema/],
    ["response_format", { type: "regex" }, /with pattern/],
    ["response_format", { type: "grammar", grammar: 1 }, /grammar is a text/],
  ])("%s: %j", (name, value, says) => {
    const asked = () => ask({ [name]: value });
    expect(asked).toThrow(UsageError);
    expect(asked).toThrow(says);
    expect(asked).toThrow(new RegExp(`^${name}`));
  });
});

test.each([
  [{ frequency: 1, top_q: 2 }, /^Unknown fields: frequency, top_q\. Known are messages, temperature,/],
  [{ functions: [], function_call: "auto" }, /functions \(give tools\), function_call \(give tool_choice\)/],
  [
    { audio: {}, modalities: ["audio"], prediction: {}, web_search_options: {}, verbosity: "low" },
    /audio \(.*verbosity \(/,
  ],
])("unknown fields are all named: %j", (fields, says) => {
  expect(() => ask(fields)).toThrow(says);
});

test.each([
  [{ max_tokens: 3, max_completion_tokens: 4 }, /mean the same/],
  [{ top_logprobs: 2 }, /needs logprobs/],
  [{ stream_options: {} }, /needs stream/],
])("wishes that contradict each other: %j", (fields, says) => {
  expect(() => ask(fields)).toThrow(says);
});

test("what OpenAI's own code sends along is taken and without effect", () => {
  const sent = { user: "u", metadata: { a: "b" }, store: true, service_tier: "auto", safety_identifier: "s" };
  const { seed, ...wanted } = ask({ ...sent, prompt_cache_key: "k", model: "gpt" });
  const { seed: other, ...plain } = ask({ model: "gpt" });
  expect(wanted).toEqual(plain);
  expect(seed).not.toBe(other);
});

test("null is as good as nothing", () => {
  const names = ["temperature", "top_p", "seed", "max_tokens", "stop", "n", "logprobs", "stream", "logit_bias"];
  expect(ask(Object.fromEntries(names.map((name) => [name, null])))).toMatchObject({
    temperature: 1,
    topP: 1,
    maxTokens: Number.POSITIVE_INFINITY,
    stop: [],
    n: 1,
    topLogprobs: undefined,
  });
});

test("seeds of any size are folded to 32 bits", () => {
  expect(ask({ seed: 2 ** 32 + 5 }).seed).toBe(5);
  expect(ask({ seed: -1 }).seed).toBe(2 ** 32 - 1);
});

test.each([
  [{ type: "json_object" }, { type: "json_object" }],
  [
    { type: "json_schema", json_schema: { name: "a", schema: { type: "array" } } },
    { type: "json_schema", schema: { type: "array" } },
  ],
  [
    { type: "regex", pattern: "a+" },
    { type: "regex", pattern: "a+" },
  ],
  [
    { type: "grammar", grammar: 'root ::= "a"' },
    { type: "ebnf", grammar: 'root ::= "a"' },
  ],
  [{ type: "text" }, undefined],
])("response_format %j", (response_format, constraint) => {
  expect(ask({ response_format }).constraint).toEqual(constraint);
});

test("a completion takes what is about drawing, and a prompt", () => {
  const complete = (fields: Record<string, unknown>) => completionRequest(fields as never);
  expect(complete({ prompt: "Once", logprobs: 3 }).topLogprobs).toBe(3);
  expect(() => complete({})).toThrow(/prompt is missing/);
  expect(() => complete({ prompt: "a", messages: [] })).toThrow(/Unknown fields: messages/);
  expect(() => complete({ prompt: "a", echo: true, best_of: 2 })).toThrow(/echo .*best_of \(give n\)/);
});

describe("tools", () => {
  const tool = { type: "function", function: { name: "ab" } };
  const wanted = (fields: Record<string, unknown>) => wantedTools({ messages, ...fields } as never);

  test.each([
    [{ tools: [{ type: "custom" }] }, /tools\[0\].*with function/],
    [{ tools: [{ type: "custom", function: { name: "a" } }] }, /type is one of function/],
    [{ tools: [{ type: "function", function: {} }] }, /function is an object with name/],
    [{ tools: [tool], tool_choice: "any" }, /tool_choice is "any"; expected none, auto, required/],
    [{ tools: [tool], tool_choice: { type: "function", function: { name: "cd" } } }, /names "cd"; the tools are ab/],
    [{ tool_choice: "required" }, /no tools to call/],
  ])("refused: %j", (fields, says) => {
    expect(() => wanted(fields)).toThrow(says);
  });

  test("none and auto without tools ask for nothing", () => {
    expect(wanted({ tools: [tool], tool_choice: "none" })).toBeUndefined();
    expect(wanted({ tool_choice: "auto" })).toBeUndefined();
    expect(wanted({ tools: [tool] })).toMatchObject({ choice: "auto", parallel: true });
  });

  test("need a template that speaks of them, and leave the answer its form", async () => {
    const tools = [{ type: "function" as const, function: { name: "ab" } }];
    const mistral = await scriptedChat({ says: ["x"], model: "mistral" });
    await expect(mistral.create({ messages: messages as never, tools })).rejects.toThrow(UnsupportedError);
    const chatml = await scriptedChat({ says: ["x"] });
    const both = chatml.create({ messages: messages as never, tools, response_format: { type: "json_object" } });
    await expect(both).rejects.toThrow(/tool_choice "none"/);
  });
});

describe("thoughts", () => {
  test.each([
    [{ thinking: { type: "enabled", budget_tokens: 3 }, thinking_budget: 4 }, /mean the same/],
    [{ thinking: { type: "enabled" }, reasoning_effort: "none" }, /One field switches thoughts off/],
    [{ thinking: { type: "disabled" }, thinking_budget: 9 }, /One field switches thoughts off/],
  ])("refused: %j", async (fields, says) => {
    const { create } = await scriptedChat({ says: ["x"] });
    await expect(create({ messages, ...fields } as never)).rejects.toThrow(says);
  });
});

describe("messages", () => {
  const made = (list: unknown[], template = "") => templateMessages(list, { template });

  test.each([
    [[], /empty/],
    [["Hi"], /messages\[0\] is "Hi"/],
    [[{ role: "function", content: "a" }], /messages\[0\].role is "function"; expected one of system, developer/],
    [[{ role: "user" }], /messages\[0\].content is nothing/],
    [[{ role: "user", content: [1] }], /holds 1/],
    [[{ role: "assistant", tool_calls: [{ id: "a" }] }], /tool_calls\[0\]/],
  ])("refused: %j", (list, says) => {
    expect(() => made(list)).toThrow(UsageError);
    expect(() => made(list)).toThrow(says);
  });

  test("pictures are not done, and the message says so", () => {
    const picture = [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] }];
    expect(() => made(picture)).toThrow(UnsupportedError);
  });

  test("become what templates read", () => {
    const call = { id: "x", type: "function", function: { name: "f", arguments: '{"a":1}' } };
    const list = [
      { role: "developer", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      { role: "assistant", content: null, tool_calls: [call], reasoning_content: "Hm.", refusal: null },
      { role: "tool", tool_call_id: "x", content: "42" },
    ];
    expect(made(list)).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "a\nb" },
      {
        role: "assistant",
        content: "",
        tool_calls: [{ ...call, function: { name: "f", arguments: { a: 1 } } }],
        reasoning_content: "Hm.",
        thinking: "Hm.",
      },
      { role: "tool", tool_call_id: "x", content: "42" },
    ]);
    expect(made(list, "developer")[0]?.role).toBe("developer");
  });
});

describe("a prompt", () => {
  test("that fills the context is refused, with its length", async () => {
    const { create, sessions } = await scriptedChat({ says: ["x"], contextLength: 20 });
    await expect(create({ messages: messages as never })).rejects.toThrow(
      /The prompt has \d+ tokens and the context holds 20/,
    );
    expect(sessions).toEqual([]);
  });

  test("of ids holds ids", async () => {
    const { chat } = await scriptedChat({ says: ["x"] });
    await expect(chat.ask({ kind: "text", params: { prompt: [1, -2] } })).rejects.toThrow(/prompt holds -2/);
  });
});
