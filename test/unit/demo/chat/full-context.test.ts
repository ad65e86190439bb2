import { describe, expect, test, vi } from "vitest";
import { pathOf } from "../../../../demo/chat/conversation.ts";
import { memoryHistory } from "../../../../demo/chat/history.ts";
import { last, open, type Script, texts } from "./scripted-chat.ts";

describe("a conversation that outgrows the context", () => {
  const small = { contextLength: 40 };
  const long = "x".repeat(14);

  /** Two exchanges of 28 characters in a context of 40, then a question that does not fit behind them. */
  async function outgrown(answers: Script["answers"], hasTemplate = true) {
    const first = [[{ content: long }], [{ content: long }]];
    const opened = await open([...first, ...answers], hasTemplate, memoryHistory(), small);
    const { app, chat, idle } = opened;
    app.settings.change({ systemPrompt: "", maxTokens: 8 });
    chat.send("first question", null);
    await idle();
    chat.send("next", last(chat).id);
    await idle();
    return opened;
  }

  test("is not cut before the reader says so, and marks from where on the model sees it", async () => {
    const { chat, script, idle } = await outgrown([[{ content: "yes" }], [{ content: "no" }]]);
    expect(last(chat)).toMatchObject({ state: "length", view: null });
    chat.send("last", last(chat).id);
    await idle();
    expect(script.asked).toHaveLength(2);
    expect(last(chat)).toMatchObject({ content: "", state: "full", view: null });
    expect(last(chat).trouble).toMatch(/takes 50 tokens, and the context holds 40.*oldest part left out/);
    const second = pathOf(chat.current.value)[2]?.id ?? "";
    chat.goOn(last(chat).id, true);
    await idle();
    expect(script.asked[2]?.messages.map(({ content }) => content)).toEqual(["next", long, "last"]);
    expect(last(chat)).toMatchObject({ content: "yes", state: "length", trouble: "", view: { from: second, at: 0 } });
    chat.retry(last(chat).id); // what was left out once is left out of what follows
    await idle();
    expect(last(chat)).toMatchObject({ content: "", state: "full" });
    expect(texts(chat)).toEqual(["first question", long, "next", long, "last", ""]);
  });

  test("is seen whole again by a model with more room", async () => {
    const { app, chat, script, idle } = await outgrown([[{ content: "yes" }], [{ content: "more" }]]);
    chat.send("last", last(chat).id);
    await idle();
    chat.goOn(last(chat).id, true);
    await idle();
    app.contextLength.set(100);
    chat.send("?", last(chat).id);
    await idle();
    expect(script.asked.at(-1)?.messages).toHaveLength(7);
    expect(last(chat).view).toBeNull();
  });

  test("offers nothing where one message alone is too long", async () => {
    const { chat, script, idle } = await open([], true, memoryHistory(), small);
    chat.send("y".repeat(60), null);
    await idle();
    expect(script.asked).toEqual([]);
    expect(last(chat)).toMatchObject({ state: "full" });
    expect(last(chat).trouble).toMatch(/shorter message.*longer context/);
    chat.goOn(last(chat).id, true);
    await idle();
    expect(last(chat)).toMatchObject({ state: "full", content: "" });
  });

  test("as a story goes on from the beginning of a sentence", async () => {
    const answers = [[{ content: " went. She saw. An end" }], [{ content: " came" }]];
    const { app, chat, script, idle } = await open(answers, false, memoryHistory(), small);
    app.settings.change({ maxTokens: 8 });
    chat.send("Once a fox. Then she", null);
    await idle();
    chat.goOn(last(chat).id);
    await idle();
    expect(last(chat).state).toBe("full");
    chat.goOn(last(chat).id, true);
    await idle();
    const shown = script.asked[1]?.messages.map(({ content }) => content);
    expect(shown).toEqual(["Then she", " went. She saw. An end"]);
    expect(last(chat)).toMatchObject({ content: " went. She saw. An end came", view: { at: 12 } });
  });

  test("counts on while it is written, and anew when it rests", async () => {
    const { chat } = await outgrown([]);
    await vi.waitFor(() => expect(chat.meter.tokens.value).toBe(46));
    chat.begin();
    await vi.waitFor(() => expect(chat.meter.tokens.value).toBeNull());
  });
});
