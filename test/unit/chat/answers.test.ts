/** Answers over a script: what of the tokens reaches the caller, and in which shape. */
import { describe, expect, test } from "vitest";
import type { Completion } from "../../../src/chat/openai-types.ts";
import { chunksOf, scriptedChat } from "./scripted.ts";

const messages = [{ role: "user", content: "Hi" }] as const;
const AB = { tools: [{ type: "function", function: { name: "ab", parameters: { type: "object" } } }] } as const;
const tools = AB.tools.map((tool) => ({ ...tool }));
const CALL = '<tool_call>\n{"name": "ab", "arguments": {"x": 1}}\n</tool_call>';

/** ChatML with a word about how calls are written. */
const TOOLED =
  "{% if tools %}Call as <tool_call>.{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}" +
  "<|im_end|>\n{% endfor %}<|im_start|>assistant\n";

describe("an answer", () => {
  test("is the text up to the model's stop, with what it took", async () => {
    const { create, tokenizer } = await scriptedChat({ says: ["Hello.<|im_end|>more"] });
    const answer = await create({ messages });
    const { ids } = await tokenizer.chatPrompt([...messages]);
    expect(answer).toMatchObject({ object: "chat.completion", model: "scripted" });
    expect(answer.id).toMatch(/^chatcmpl-\w{24}$/);
    expect(answer.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: "Hello.", refusal: null },
        finish_reason: "stop",
        logprobs: null,
      },
    ]);
    expect(answer.usage).toMatchObject({
      prompt_tokens: ids.length,
      completion_tokens: 6,
      total_tokens: ids.length + 6,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
  });

  test("streams the same: the role first, an end with its reason, the usage last", async () => {
    const { stream, create } = await scriptedChat({ says: ["Hello."] });
    const chunks = await stream({ messages, stream: true, stream_options: { include_usage: true }, model: "mine" });
    expect(chunks[0]?.choices).toEqual([
      { index: 0, delta: { role: "assistant", content: "" }, finish_reason: null, logprobs: null },
    ]);
    expect(new Set(chunks.map(({ id, model, object }) => `${id} ${model} ${object}`)).size).toBe(1);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe("Hello.");
    expect(chunks.at(-2)?.choices).toEqual([{ index: 0, delta: {}, finish_reason: "stop", logprobs: null }]);
    expect(chunks.at(-1)).toMatchObject({ choices: [], model: "mine", usage: { completion_tokens: 6 } });
    const { usage } = await create({ messages });
    expect(chunks.at(-1)?.usage?.prompt_tokens).toBe(usage.prompt_tokens);
  });

  test("says no usage unasked", async () => {
    const { stream } = await scriptedChat({ says: ["A"] });
    expect((await stream({ messages, stream: true })).every((chunk) => chunk.usage === undefined)).toBe(true);
  });

  test("never gives half a character", async () => {
    const { stream } = await scriptedChat({ says: ["né 🙂!"] });
    const texts = (await stream({ messages, stream: true })).map(({ choices }) => choices[0]?.delta.content ?? "");
    expect(texts.filter((text) => text !== "")).toEqual(["n", "é", " ", "🙂", "!"]);
  });

  test("ends before a stop text that spans tokens, and draws no further", async () => {
    const { create, sessions } = await scriptedChat({ says: ["one two three four"] });
    const answer = await create({ messages, stop: ["o th", "xyz"] });
    expect(answer.choices[0]).toMatchObject({ message: { content: "one tw" }, finish_reason: "stop" });
    expect(answer.usage.completion_tokens).toBe("one two th".length);
    expect(sessions[0]?.tokens.length).toBe(answer.usage.total_tokens);
  });

  test("is as long as was asked, and gives out what was held back for a stop", async () => {
    const { create } = await scriptedChat({ says: ["one two three"] });
    const answer = await create({ messages, max_completion_tokens: 6, stop: "two three" });
    expect(answer.choices[0]).toMatchObject({ message: { content: "one tw" }, finish_reason: "length" });
  });

  test("ends with the context", async () => {
    const { create } = await scriptedChat({ says: ["abcdefghij".repeat(20)], contextLength: 60 });
    const answer = await create({ messages });
    expect(answer.choices[0]?.finish_reason).toBe("length");
    expect(answer.usage.total_tokens).toBe(60);
  });

  test("comes as often as asked, one seed after another, streaming too", async () => {
    const says = ["A", "BB", "CCC"];
    const { create, stream, asked, sessions } = await scriptedChat({ says });
    const answer = await create({ messages, n: 3, seed: 7 });
    expect(answer.choices.map(({ index, message }) => [index, message.content])).toEqual([...says.entries()]);
    expect(asked.map(({ seed }) => seed)).toEqual([7, 8, 9]);
    expect(answer.usage.completion_tokens).toBe(6);
    // The prompt is prefilled once; every further choice begins with its last token.
    expect(sessions[0]?.prefills).toEqual([answer.usage.prompt_tokens, 1, 1]);
    const chunks = await stream({ messages, n: 3, stream: true });
    const texts = [0, 1, 2].map((index) =>
      chunks
        .flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
        .map(({ delta }) => delta.content ?? ""),
    );
    expect(texts.map((pieces) => pieces.join(""))).toEqual(says);
  });

  test("carries log-probabilities of every token drawn", async () => {
    const { create, stream, asked } = await scriptedChat({ says: ["né"] });
    const answer = await create({ messages, logprobs: true, top_logprobs: 1 });
    expect(asked[0]?.topLogprobs).toBe(1);
    const content = answer.choices[0]?.logprobs?.content ?? [];
    expect(content[0]).toEqual({
      token: "n",
      logprob: -1,
      bytes: [110],
      top_logprobs: [{ token: "n", logprob: -1, bytes: [110] }],
    });
    expect(content.map(({ bytes }) => bytes)).toEqual([[110], [0xc3], [0xa9]]); // "é" is two tokens here
    const streamed = await stream({ messages, logprobs: true, stream: true });
    expect(streamed.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])).toHaveLength(3);
  });
});

describe("a thought", () => {
  const SAID = "<think>\nWell, \nhm.\n</think>\n\nYes.";

  test("is kept apart from the answer, without the white space of its markers", async () => {
    const { create, stream } = await scriptedChat({ says: [SAID] });
    const answer = await create({ messages });
    expect(answer.choices[0]?.message).toMatchObject({ content: "Yes.", reasoning_content: "Well, \nhm." });
    const { completion_tokens, completion_tokens_details } = answer.usage;
    expect(completion_tokens - completion_tokens_details.reasoning_tokens).toBeLessThan(8);
    expect(completion_tokens_details.reasoning_tokens).toBeGreaterThan(8);
    const deltas = (await stream({ messages, stream: true })).map(({ choices }) => choices[0]?.delta);
    expect(deltas.map((delta) => delta?.reasoning_content ?? "").join("")).toBe("Well, \nhm.");
    expect(deltas.map((delta) => delta?.content ?? "").join("")).toBe("Yes.");
  });

  test("that the prompt opens is one from the first token", async () => {
    const { create } = await scriptedChat({ says: ["Hm.</think>Yes."], model: "deepseek" });
    expect((await create({ messages })).choices[0]?.message).toMatchObject({
      content: "Yes.",
      reasoning_content: "Hm.",
    });
  });

  test("has a bound, and the ids that close it", async () => {
    const { create, asked, tokenizer } = await scriptedChat({ says: ["Yes."] });
    await create({ messages, thinking: { type: "enabled", budget_tokens: 5 } });
    const close = tokenizer.encode("</think>", { addSpecial: false, allowSpecial: true });
    expect(asked[0]?.thinking).toMatchObject({ inside: false, budget: 5, close });
    expect(tokenizer.decode(asked[0]?.thinking?.forced ?? [])).toBe("\n</think>\n\n");
    await create({ messages });
    expect(asked[1]?.thinking).toBeUndefined();
  });

  test("can be switched off: the template hears of it, and none may begin", async () => {
    const { create, asked, sessions, tokenizer } = await scriptedChat({ says: ["Yes."] });
    for (const off of [
      { thinking: { type: "disabled" } },
      { thinking_budget: 0 },
      { reasoning_effort: "none" },
    ] as const) {
      await create({ messages, ...off, prefix_reuse: "none" });
      expect(tokenizer.decode(sessions[0]?.tokens ?? [])).toContain("<think>\n\n</think>\n\nYes.");
      expect(asked.at(-1)?.thinking?.budget).toBe(0);
    }
  });

  test("follows an effort: by the template where it knows efforts, else by a bound", async () => {
    const chatml = await scriptedChat({ says: ["Yes."] });
    await chatml.create({ messages, reasoning_effort: "low" });
    expect(chatml.asked[0]?.thinking?.budget).toBe(1024);
    const harmony = await scriptedChat({ says: ["<|channel|>final<|message|>Yes."], model: "harmony" });
    await harmony.create({ messages, reasoning_effort: "minimal" });
    expect(harmony.asked[0]?.thinking).toBeUndefined();
    expect(harmony.tokenizer.decode(harmony.sessions[0]?.tokens ?? [])).toContain("Reasoning: low");
  });
});

describe("a call", () => {
  const asking = { messages, tools, chat_template: TOOLED } as const;

  test("ends the turn as such, with an id", async () => {
    const { create, stream } = await scriptedChat({ says: [`Sure.\n${CALL}\n${CALL}<|im_end|>`] });
    const [choice] = (await create(asking)).choices;
    expect(choice?.finish_reason).toBe("tool_calls");
    expect(choice?.message.content).toBe("Sure.");
    const calls = choice?.message.tool_calls ?? [];
    expect(calls.map((call) => call.function)).toEqual(Array(2).fill({ name: "ab", arguments: '{"x":1}' }));
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    expect(calls[0]?.id).toMatch(/^\w{9}$/);
    const deltas = (await stream({ ...asking, stream: true })).flatMap(
      ({ choices }) => choices[0]?.delta.tool_calls ?? [],
    );
    expect(deltas.map(({ index, type }) => [index, type])).toEqual([
      [0, "function"],
      [1, "function"],
    ]);
  });

  test("alone leaves no content, and the first is the last where only one is wanted", async () => {
    const { create } = await scriptedChat({ says: [`${CALL}${CALL}`] });
    const [choice] = (await create({ ...asking, parallel_tool_calls: false })).choices;
    expect(choice?.message.content).toBeNull();
    expect(choice?.message.tool_calls).toHaveLength(1);
  });

  test("is text where no tools are there, or none may be called", async () => {
    const { create } = await scriptedChat({ says: [CALL] });
    for (const params of [{ messages }, { ...asking, tool_choice: "none" as const }]) {
      const [choice] = (await create(params)).choices;
      expect(choice?.message).toMatchObject({ content: CALL });
      expect(choice?.finish_reason).toBe("stop");
    }
  });

  const HELD = {
    type: "json_schema",
    compact: true,
    schema: {
      type: "object",
      properties: { name: { const: "ab" }, arguments: { type: "object" } },
      required: ["name", "arguments"],
      additionalProperties: false,
    },
  };

  test("that must come is held to the schema, and the prompt leads to it", async () => {
    const { create, asked, tokenizer, sessions } = await scriptedChat({
      says: ['{"name": "ab", "arguments": {}}'],
      model: "llama3",
    });
    const [choice] = (await create({ ...asking, tool_choice: "required" })).choices;
    expect(choice?.message.tool_calls?.[0]?.function).toEqual({ name: "ab", arguments: "{}" });
    expect(tokenizer.decode(sessions[0]?.tokens ?? [])).toMatch(/assistant<tool_call>\n\{"name"/);
    expect(asked[0]).toMatchObject({ constraint: HELD, thinking: undefined });
  });

  test("that must come is led to by the generation where a thought may come first", async () => {
    const { create, asked, tokenizer } = await scriptedChat({ says: [`<think>Hm.</think>${CALL}`] });
    const [choice] = (await create({ ...asking, tool_choice: { type: "function", function: { name: "ab" } } })).choices;
    expect(choice?.message).toMatchObject({ reasoning_content: "Hm.", tool_calls: [{ function: { name: "ab" } }] });
    expect(asked[0]?.constraint).toEqual(HELD);
    expect(tokenizer.decode(asked[0]?.thinking?.answer ?? [])).toBe("<tool_call>\n");
    expect(tokenizer.decode(asked[0]?.thinking?.forced ?? [])).toBe("\n</think>\n\n<tool_call>\n");
  });

  test("of one of several tools is a choice of their schemas, each with its own definitions", async () => {
    const schema = { type: "object", properties: { a: { $ref: "#/$defs/A" } }, $defs: { A: { type: "string" } } };
    const two = ["ab", "cd"].map((name) => ({ type: "function" as const, function: { name, parameters: schema } }));
    const { create, asked } = await scriptedChat({ says: [CALL], model: "llama3" });
    await create({ ...asking, tools: two, tool_choice: "required" });
    expect(asked[0]?.constraint).toMatchObject({
      schema: {
        anyOf: [
          { properties: { name: { const: "ab" }, arguments: { properties: { a: { $ref: "#/$defs/tool0_A" } } } } },
          { properties: { name: { const: "cd" }, arguments: { properties: { a: { $ref: "#/$defs/tool1_A" } } } } },
        ],
        $defs: { tool0_A: { type: "string" }, tool1_A: { type: "string" } },
      },
    });
  });

  test("of a strict tool is held to its schema from where the model begins it", async () => {
    const strict = [
      { type: "function" as const, function: { name: "ab", strict: true, parameters: { type: "object" } } },
    ];
    const script = { says: ["So: <tool_call>and then something else", '{"name": "ab", "arguments": {}}'] };
    const { create, asked } = await scriptedChat(script);
    const [choice] = (await create({ ...asking, tools: strict, max_tokens: 60 })).choices;
    expect(choice?.message).toMatchObject({
      content: "So:",
      tool_calls: [{ function: { name: "ab", arguments: "{}" } }],
    });
    expect(asked.map(({ constraint }) => constraint?.type)).toEqual([undefined, "json_schema"]);
    expect(asked[1]?.maxTokens).toBe(60 - "So: <tool_call>".length);
  });
});

describe("plain text", () => {
  test("is continued, with a bound and stops, in OpenAI's older shape", async () => {
    const { chat } = await scriptedChat({ says: [" upon a time"] });
    const params = { prompt: "Once", max_tokens: 8, logprobs: 1 };
    const handle = await chat.ask({ kind: "text", params });
    const whole = (await handle.whole(new AbortController().signal)) as Completion;
    expect(whole).toMatchObject({ object: "text_completion", usage: { prompt_tokens: 4, completion_tokens: 8 } });
    expect(whole.choices[0]).toMatchObject({ text: " upon a ", finish_reason: "length", index: 0 });
    expect(whole.choices[0]?.logprobs).toMatchObject({
      text_offset: [0, 1, 2, 3, 4, 5, 6, 7],
      token_logprobs: Array(8).fill(-1),
    });
    const chunks = await chunksOf(chat, { kind: "text", params: { ...params, stream: true } });
    expect(chunks.map(({ choices }) => (choices[0] && "text" in choices[0] ? choices[0].text : "")).join("")).toBe(
      " upon a ",
    );
  });

  test("is not looked through for thoughts", async () => {
    const { chat } = await scriptedChat({ says: ["<think>a</think>b"] });
    const handle = await chat.ask({ kind: "text", params: { prompt: "x" } });
    const whole = (await handle.whole(new AbortController().signal)) as Completion;
    expect(whole.choices[0]?.text).toBe("<think>a</think>b");
  });
});
