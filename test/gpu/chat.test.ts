/** Chats through the public door, on the built-in model with a template that only joins what was said. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChatCompletionChunk, ChatCompletionMessageParam } from "../../src/client/types.ts";
import { loadModel, type Model, type Session, UnsupportedError, UsageError } from "../../src/index.ts";
import { TALES_URL } from "./fixtures.ts";

const TEMPLATE = "{% for message in messages %}{{ message.content }}\n\n{% endfor %}";
const BEGINNING = "Once upon a time there was a little girl who lived at the edge of the forest.";
const OTHER = "The king said to his three sons,";
const TOKENS = 5;
const GREEDY = { chat_template: TEMPLATE, temperature: 0, max_tokens: TOKENS } as const;

const user = (content: string): ChatCompletionMessageParam => ({ role: "user", content });
const assistant = (content: string | null): ChatCompletionMessageParam => ({ role: "assistant", content });

let model: Model;
let own: Session;
/** Bytes of cache that the plan has room for, before any chat. */
let kvBytes = 0;
beforeAll(async () => {
  // Room for the sessions of the tests beside those of the chat, without slots that come and go.
  model = await loadModel(TALES_URL, { cache: false, contextLength: 160, gpuBudgetBytes: 200e6, chatSessions: 3 });
  kvBytes = (await model.memory()).kvBytes;
  own = await model.createSession();
});
afterAll(async () => {
  expect(await model.dispose()).toEqual({});
});

const ask = (messages: ChatCompletionMessageParam[], more = {}) =>
  model.chat.completions.create({ ...GREEDY, ...more, messages });

async function collected(stream: AsyncIterable<ChatCompletionChunk>) {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  return { chunks, text };
}

/** What a session that no chat touches says to the same ids. */
async function spoken(text: string, settings = {}): Promise<string> {
  await own.rewind(0);
  await own.prefill(await model.encode(text, { addSpecial: false }));
  const ids: number[] = [];
  for await (const id of own.generate({ maxTokens: TOKENS, ...settings })) ids.push(id);
  return model.decode(ids);
}

describe("an answer", () => {
  it("is what a session says to the same ids, streamed or not, greedy or seeded", async () => {
    const expected = await spoken(`${BEGINNING}\n\n`);
    const whole = await ask([user(BEGINNING)]);
    expect(whole.choices[0]).toMatchObject({ message: { content: expected }, finish_reason: "length" });
    expect(whole.usage.completion_tokens).toBe(TOKENS);
    const stream = await model.chat.completions.create({
      ...GREEDY,
      messages: [user(BEGINNING)],
      stream: true,
      stream_options: { include_usage: true },
    });
    const { chunks, text } = await collected(stream);
    expect(text).toBe(expected);
    const usage = chunks.at(-1)?.usage;
    // The same prompt again: all of it is there but the token that the answer follows.
    expect(usage?.prompt_tokens_details.cached_tokens).toBe(whole.usage.prompt_tokens - 1);
    expect(usage?.octavo?.prefillTokens).toBe(1);
    expect(usage?.octavo?.decodeTokens).toBe(TOKENS - 1);
    const seeded = { temperature: 0.9, seed: 5 };
    const drawn = await model.complete(`${BEGINNING}\n\n`, { ...seeded, max_tokens: TOKENS });
    expect(drawn.choices[0]?.text).toBe(await spoken(`${BEGINNING}\n\n`, seeded));
    // The chat's session and the other had room from the start, as chatSessions says.
    expect((await model.memory()).kvBytes).toBe(kvBytes);
  });

  it("is a call held to its schema where one is asked for, whole and in chunks", async () => {
    const rooms = ["kitchen", "hall", "attic"];
    const properties = {
      room: { enum: rooms },
      on: { type: "boolean" },
      level: { type: "integer", minimum: 1, maximum: 9 },
    };
    const parameters = { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
    const request = {
      ...GREEDY,
      chat_template: `{% for tool in tools %}{{ tool.function.name }} {% endfor %}${TEMPLATE}`,
      messages: [user("Make it light in the hall.")],
      tools: [{ type: "function" as const, function: { name: "set_lamp", parameters } }],
      tool_choice: "required" as const,
      thinking: { type: "disabled" as const },
      temperature: 1.2,
      max_tokens: 100,
    };
    const held = (text: string | undefined) => {
      const { room, on, level, ...more } = JSON.parse(text ?? "") as Record<string, unknown>;
      expect(rooms).toContain(room);
      expect(typeof on).toBe("boolean");
      expect(level).toBeOneOf([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(more).toEqual({});
    };
    const [choice] = (await model.chat.completions.create({ ...request, seed: 2 })).choices;
    expect(choice?.finish_reason).toBe("tool_calls");
    expect(choice?.message.tool_calls).toHaveLength(1);
    expect(choice?.message.tool_calls?.[0]?.function.name).toBe("set_lamp");
    held(choice?.message.tool_calls?.[0]?.function.arguments);
    const { chunks, text } = await collected(
      await model.chat.completions.create({ ...request, seed: 3, stream: true }),
    );
    const calls = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    expect(text).toBe("");
    held(calls.map((call) => call.function?.arguments ?? "").join(""));
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("tool_calls");
  });

  it("comes in choices that are those of the seeds alone", async () => {
    const seeded = { temperature: 0.9, max_tokens: 4 };
    const both = await ask([user(OTHER)], { ...seeded, seed: 3, n: 2 });
    for (const [index, { message }] of both.choices.entries()) {
      const alone = await ask([user(OTHER)], { ...seeded, seed: 3 + index });
      expect(alone.choices[0]?.message).toEqual(message);
    }
  });
});

describe("a conversation", () => {
  it("that goes on, is edited or branches computes only what is new", async () => {
    const first = await ask([user(BEGINNING)], { prefix_reuse: "none" });
    expect(first.usage.prompt_tokens_details.cached_tokens).toBe(0);
    const answer = first.choices[0]?.message.content ?? "";
    const begun = (await model.encode(BEGINNING)).length;
    const common = async (a: string, b: string) => {
      const [x, y] = [await model.encode(a), await model.encode(b)];
      return x.findIndex((id, i) => id !== y[i]);
    };
    for (const [was, is] of [
      [
        [BEGINNING, answer],
        [BEGINNING, answer, "Go on."],
      ],
      [
        [BEGINNING, answer, "Go on."],
        [BEGINNING, answer, "Stop."],
      ], // edited
      [
        [BEGINNING, answer, "Stop."],
        [BEGINNING, "She sang.", "Go on."],
      ], // branched
    ] as const) {
      const { usage, choices } = await ask(is.map((text, i) => (i % 2 ? assistant(text) : user(text))));
      const { cached_tokens } = usage.prompt_tokens_details;
      expect(cached_tokens).toBeGreaterThan(begun - 2);
      expect(cached_tokens).toBeLessThanOrEqual(await common(`${was.join("\n\n")}\n\n\0`, `${is.join("\n\n")}\n\n`));
      expect(usage.octavo?.prefillTokens).toBe(usage.prompt_tokens - cached_tokens);
      expect(choices[0]?.message.content).toBe(await spoken(`${is.join("\n\n")}\n\n`));
    }
  });

  it("of many turns says what it would say without the others before it", async () => {
    const exact = await ask([user(OTHER), assistant("Go."), user("So they")], { prefix_reuse: "exact" });
    const fresh = await ask([user(OTHER), assistant("Go."), user("So they")], { prefix_reuse: "none" });
    expect(exact.choices).toEqual(fresh.choices);
  });

  it("beside another is not changed by it, nor the other", async () => {
    const alone = [await ask([user(BEGINNING)]), await ask([user(OTHER)])];
    const open = (text: string) =>
      model.chat.completions.create({ ...GREEDY, messages: [user(text)], stream: true as const });
    const together = await Promise.all([open(BEGINNING), open(OTHER)].map(async (stream) => collected(await stream)));
    expect(together.map(({ text }) => text)).toEqual(alone.map(({ choices }) => choices[0]?.message.content));
  });
});

describe("an answer that is held to something", () => {
  it("matches the pattern, and comes with the log-probabilities of its tokens", async () => {
    const { choices } = await ask([user(OTHER)], {
      max_tokens: 20,
      response_format: { type: "regex", pattern: "(yes|no), \\d{2}" },
      logprobs: true,
      top_logprobs: 2,
    });
    const [choice] = choices;
    expect(choice?.finish_reason).toBe("stop");
    expect(choice?.message.content).toMatch(/^(yes|no), \d{2}$/);
    const tokens = choice?.logprobs?.content ?? [];
    expect(tokens.map(({ token }) => token).join("")).toBe(choice?.message.content);
    for (const { logprob, top_logprobs } of tokens) {
      expect(top_logprobs).toHaveLength(2);
      expect(logprob).toBeLessThanOrEqual(top_logprobs[0]?.logprob ?? Number.NaN);
    }
  });
});

describe("an answer that is stopped", () => {
  it("by a signal throws, and the conversation goes on from there", async () => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const stream = await model.chat.completions.create(
      { ...GREEDY, max_tokens: 60, messages: [user(BEGINNING)], stream: true },
      options,
    );
    let count = 0;
    const reading = (async () => {
      for await (const _ of stream) if (++count === 3) controller.abort();
    })();
    await expect(reading).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    expect(count).toBe(3);
    const after = await ask([user(BEGINNING)]);
    expect(after.usage.prompt_tokens_details.cached_tokens).toBe(after.usage.prompt_tokens - 1);
    expect(after.choices[0]?.message.content).toBe(await spoken(`${BEGINNING}\n\n`));
    await expect(ask([user("Hi")], options)).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
  });

  it("by a signal while another session's prompt runs does not wait for that, and takes nothing with it", async () => {
    const before = (await model.memory()).kvBytes;
    await own.rewind(0);
    const ids = (await model.encode("word ".repeat(200))).slice(0, 60);
    let over = false;
    const long = own.prefill(ids).then(() => {
      over = true;
    });
    const controller = new AbortController();
    const asked = ask([user(OTHER)], { prefix_reuse: "none", signal: controller.signal });
    setTimeout(() => controller.abort(), 1); // a fast device is through with the prompt soon
    await expect(asked).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    expect(over).toBe(false);
    await long;
    expect((await ask([user(OTHER)])).choices[0]?.message.content).toBe(await spoken(`${OTHER}\n\n`));
    expect((await model.memory()).kvBytes).toBe(before);
  });

  it("by its controller, or by leaving the loop, just ends", async () => {
    for (const leave of ["controller", "break"]) {
      const stream = await model.complete(BEGINNING, { temperature: 0, max_tokens: 60, stream: true });
      let count = 0;
      for await (const _ of stream) {
        if (++count < 2) continue;
        if (leave === "break") break;
        stream.controller.abort();
      }
      expect(count).toBe(2);
    }
  });
});

describe("refuses", () => {
  it("a model without a template, and says what to give", async () => {
    const asked = model.chat.completions.create({ messages: [user("Hi")] });
    await expect(asked).rejects.toThrow(UnsupportedError);
    await expect(asked).rejects.toThrow(/chat_template/);
  });

  it("fields that nobody knows, by name, in the classes of the page", async () => {
    const asked = ask([user("Hi")], { top_q: 1, functions: [] });
    await expect(asked).rejects.toThrow(UsageError);
    await expect(asked).rejects.toThrow(/Unknown fields: top_q, functions \(give tools\)/);
  });

  it("a prompt that fills the context", async () => {
    await expect(ask([user("word ".repeat(200))])).rejects.toThrow(/the context holds 160/);
  });
});
