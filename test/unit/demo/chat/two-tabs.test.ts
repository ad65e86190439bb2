import { describe, expect, test, vi } from "vitest";
import { branchesOf, pathOf } from "../../../../demo/chat/conversation.ts";
import { memoryHistory } from "../../../../demo/chat/history.ts";
import { loneTab, type Tabs } from "../../../../demo/chat/tabs.ts";
import { last, open, type Script, texts } from "./scripted-chat.ts";

/** Tabs that share a storage: what each tells is heard by the others a little later. */
function manyTabs(count: number): Tabs[] {
  const listeners: ((id: string) => void)[][] = Array.from({ length: count }, () => []);
  const held = new Map<string, Promise<void>>();
  return listeners.map((own) => ({
    tell: (id) => {
      for (const listener of listeners.filter((others) => others !== own).flat()) setTimeout(() => listener(id));
    },
    listen: (listener) => void own.push(listener),
    hold: async (answer) => {
      if (held.has(answer)) return null;
      let end = () => {};
      held.set(answer, new Promise((resolve) => (end = resolve)));
      return () => {
        held.delete(answer);
        end();
      };
    },
    letGo: (answer) => held.get(answer) ?? Promise.resolve(),
  }));
}

describe("two tabs", () => {
  async function two(left: Script["answers"], right: Script["answers"]) {
    const history = memoryHistory();
    const [one, other] = manyTabs(2);
    const a = await open(left, true, history, { tabs: one ?? loneTab() });
    const b = await open(right, true, history, { tabs: other ?? loneTab() });
    return { a, b, history };
  }

  test("show what the other wrote, while it is written", async () => {
    const { a, b } = await two([[{ content: "half" }, () => new Promise(() => {})]], []);
    a.chat.send("Hi", null);
    await vi.waitFor(() => expect(b.chat.list.value).toHaveLength(1), 3000);
    b.chat.open(a.chat.current.value.id);
    await vi.waitFor(() => expect(texts(b.chat)).toEqual(["Hi", "half"]), 3000);
    expect(last(b.chat).state).toBe("writing");
    b.chat.rename(a.chat.current.value.id, "Named there");
    a.app.stop();
    await a.idle();
    await vi.waitFor(() => expect(last(b.chat).state).toBe("stopped"), 3000);
    await vi.waitFor(() => expect(a.chat.list.value.map(({ title }) => title)).toEqual(["Named there"]), 3000);
  });

  test("that both write behind the same message make branches of it, and lose nothing", async () => {
    const { a, b, history } = await two(
      [[{ content: "1" }], [{ content: "left" }]],
      [[{ content: "right" }, () => new Promise((resolve) => setTimeout(resolve, 600))]],
    );
    a.chat.send("Hi", null);
    await a.idle();
    const { id } = a.chat.current.value;
    await vi.waitFor(() => expect(b.chat.list.value).toHaveLength(1), 3000);
    b.chat.open(id);
    const answered = last(b.chat).id;
    b.chat.send("from the right", answered);
    a.chat.send("from the left", answered);
    await Promise.all([a.idle(), b.idle()]);
    await Promise.all([a.chat.flush(), b.chat.flush()]);
    await vi.waitFor(() => {
      expect(texts(a.chat)).toEqual(["Hi", "1", "from the left", "left"]);
      expect(texts(b.chat)).toEqual(["Hi", "1", "from the right", "right"]);
      for (const { chat } of [a, b]) expect(chat.current.value.messages).toHaveLength(6);
    }, 3000);
    expect((await history.one(id))?.messages).toHaveLength(6);
    expect(branchesOf(a.chat.current.value, pathOf(a.chat.current.value)[2]?.id ?? "")).toHaveLength(2);
  });

  test("forget what was deleted in the other", async () => {
    const { a, b } = await two([[{ content: "1" }]], []);
    a.chat.send("Hi", null);
    await a.idle();
    await vi.waitFor(() => expect(b.chat.list.value).toHaveLength(1), 3000);
    b.chat.open(a.chat.current.value.id);
    await a.chat.remove(a.chat.current.value.id);
    await vi.waitFor(() => expect(b.chat.list.value).toEqual([]), 3000);
    expect(b.chat.current.value.messages).toEqual([]);
  });
});
