import { describe, expect, test, vi } from "vitest";
import { branchesOf, pathOf } from "../../../../demo/chat/conversation.ts";
import { memoryHistory } from "../../../../demo/chat/history.ts";
import { last, open, texts } from "./scripted-chat.ts";

describe("the chat", () => {
  test("sends what is read, takes thought and answer apart, and says what it took", async () => {
    const { app, chat, script, idle } = await open([
      [{ reasoning_content: "hm" }, { content: "Hel" }, { content: "lo" }],
    ]);
    app.settings.change({ systemPrompt: "Be kind.", temperature: 0.5, topP: 0.7, topK: 9, minP: 0.2, seed: 3 });
    app.settings.change({ presencePenalty: 1, frequencyPenalty: 1.5, repetitionPenalty: 1.25, maxTokens: 20 });
    app.settings.change({ thinkingBudget: 12, reasoningEffort: "low" });
    chat.send("  Hi  ", null);
    await idle();
    expect(script.asked[0]?.messages).toEqual([
      { role: "system", content: "Be kind." },
      { role: "user", content: "  Hi" },
    ]);
    expect(script.asked[0]).toMatchObject({
      ...{ temperature: 0.5, top_p: 0.7, top_k: 9, min_p: 0.2, seed: 3, max_tokens: 20, stream: true },
      ...{ presence_penalty: 1, frequency_penalty: 1.5, repetition_penalty: 1.25 },
      ...{ thinking_budget: 12, reasoning_effort: "low" },
    });
    expect(script.asked[0]).not.toHaveProperty("chat_template");
    const { content, reasoning, state, figures, thoughtMs } = last(chat);
    expect({ content, reasoning, state }).toEqual({ content: "Hello", reasoning: "hm", state: "length" });
    expect(thoughtMs).toBeGreaterThanOrEqual(0);
    expect(figures).toMatchObject({ tokens: 3, promptTokens: 4, cachedTokens: 1 });
    expect(app.status.value).toBe("Paused after 3 tokens");
    expect(chat.list.value.map(({ title }) => title)).toEqual(["Hi"]);
  });

  test("has a model without a template continue the text, and go on from its own words", async () => {
    const { app, chat, script, idle } = await open([[{ content: ", there" }], [{ content: " was" }], []], false);
    app.settings.change({ systemPrompt: "Be kind." });
    chat.send("Once ", null);
    await idle();
    expect(script.asked[0]?.chat_template).toContain("{{ message.content }}");
    expect(script.asked[0]?.messages).toEqual([{ role: "user", content: "Once" }]);
    chat.goOn(last(chat).id);
    await idle();
    expect(script.asked[1]?.messages.map(({ content }) => content)).toEqual(["Once", ", there"]);
    expect(texts(chat)).toEqual(["Once", ", there was"]);
    expect(last(chat).figures?.tokens).toBe(2);
    chat.send("a fox", last(chat).id);
    await idle();
    expect(script.asked[2]?.messages.map(({ content }) => content).join("")).toBe("Once, there was a fox");
  });

  test("branches at an edit and at a retry", async () => {
    const { chat, idle } = await open([[{ content: "1" }], [{ content: "2" }], [{ content: "3" }]]);
    chat.send("a", null);
    await idle();
    chat.retry(last(chat).id);
    await idle();
    expect(texts(chat)).toEqual(["a", "2"]);
    const question = pathOf(chat.current.value)[0];
    chat.edit(question?.id ?? "", "b");
    await idle();
    expect(texts(chat)).toEqual(["b", "3"]);
    chat.turn(pathOf(chat.current.value)[0]?.id ?? "", -1);
    expect(texts(chat)).toEqual(["a", "2"]);
    chat.turn(last(chat).id, -1);
    expect(texts(chat)).toEqual(["a", "1"]);
    expect(branchesOf(chat.current.value, last(chat).id)).toHaveLength(2);
  });

  test("keeps what was written when it is stopped, and refuses a second answer meanwhile", async () => {
    const { app, chat, script, idle } = await open([
      [{ content: "half" }, () => new Promise(() => {})],
      [{ content: "x" }],
    ]);
    chat.send("a", null);
    await vi.waitFor(() => expect(last(chat).content).toBe("half"));
    chat.send("b", last(chat).id);
    chat.retry(last(chat).id);
    expect(script.asked).toHaveLength(1);
    app.stop();
    await idle();
    expect(last(chat)).toMatchObject({ content: "half", state: "stopped", trouble: "" });
    expect(app.notices.value).toEqual([]);
  });

  test("tells of an error at the answer and as a notice, and can be tried again", async () => {
    const fail = () => Promise.reject(new Error("the cable was cut"));
    const { app, chat, idle } = await open([[{ content: "half" }, fail], [{ content: "whole" }]]);
    chat.send("a", null);
    await idle();
    expect(last(chat)).toMatchObject({ content: "half", state: "broken", trouble: "the cable was cut" });
    expect(app.notices.value.map(({ message }) => message)).toEqual(["the cable was cut"]);
    chat.retry(last(chat).id);
    await idle();
    expect(last(chat).content).toBe("whole");
  });

  test("stores an answer while it grows; after a reload what there was is there", async () => {
    const first = await open([[{ content: "half" }, () => new Promise(() => {})]]);
    first.chat.send("a", null);
    await vi.waitFor(async () => expect(JSON.stringify(await first.history.all())).toContain("half"), 3000);
    const { chat } = await open([], true, memoryHistory(await first.history.all()));
    expect(texts(chat)).toEqual(["a", "half"]);
    expect(last(chat).state).toBe("broken");
    first.app.stop();
  });

  test("renames, deletes, and takes a file's conversations beside its own", async () => {
    const { chat, history, idle } = await open([[{ content: "1" }], [{ content: "2" }]]);
    chat.send("first", null);
    await idle();
    const { id } = chat.current.value;
    chat.rename(id, "Renamed");
    const file = chat.exported();
    chat.begin();
    expect(chat.current.value.messages).toEqual([]);
    chat.send("second", null);
    await idle();
    expect(chat.imported(file)).toBe(1);
    await chat.flush();
    expect(chat.list.value.map(({ title }) => title).sort()).toEqual(["Renamed", "Renamed", "second"]);
    await chat.remove(id);
    expect(chat.list.value).toHaveLength(2);
    expect((await history.all()).some((kept) => kept.id === id)).toBe(false);
    expect(() => chat.imported("[]")).toThrow(/expected an object/);
  });

  test("stops the answer of a conversation that is deleted", async () => {
    const { app, chat, idle } = await open([[{ content: "half" }, () => new Promise(() => {})]]);
    chat.send("a", null);
    await vi.waitFor(() => expect(last(chat).content).toBe("half"));
    await chat.remove(chat.current.value.id);
    await idle();
    expect(chat.list.value).toEqual([]);
    expect(app.notices.value).toEqual([]);
  });
});
