import { describe, expect, test } from "vitest";
import {
  type Answer,
  branchesOf,
  brokenOff,
  type Conversation,
  newConversation,
  pathOf,
  pathTo,
  titleOf,
  UNTITLED,
  withAnswer,
  withBranch,
  withMessage,
  withTitle,
  writingIn,
} from "../../../../demo/chat/conversation.ts";
import { conversationOf, readConversations, writeConversations } from "../../../../demo/chat/conversation-file.ts";

const user = (id: string, parent: string | null, content = id) => ({ id, parent, role: "user" as const, content });

const answer = (id: string, parent: string, more: Partial<Answer> = {}): Answer => ({
  ...{ id, parent, role: "assistant", content: id, state: "stop", model: "m", prose: false, reasoning: "" },
  ...{ thoughtMs: null, calls: [], figures: null, trouble: "", view: null },
  ...more,
});

const ids = (messages: readonly { id: string }[]) => messages.map(({ id }) => id).join(" ");

/** q1 with answers a1 and a2, q2 behind a1, and an edited q1b with a3. The last of each is read. */
function branched(): Conversation {
  const messages = [user("q1", null), answer("a1", "q1"), user("q2", "a1"), answer("a2", "q1"), user("q1b", null)];
  return [...messages, answer("a3", "q1b")].reduce(
    (all, message) => withMessage(all, message, 1),
    newConversation("c", 0),
  );
}

describe("a conversation", () => {
  test("reads on where a message was added, and turns between branches as they were left", () => {
    const all = branched();
    expect(ids(pathOf(all))).toBe("q1b a3");
    expect(ids(branchesOf(all, "q1b"))).toBe("q1 q1b");
    const first = withBranch(all, "q1b", -1);
    expect(ids(pathOf(first))).toBe("q1 a2");
    expect(ids(pathOf(withBranch(first, "a2", -1)))).toBe("q1 a1 q2");
    expect(ids(pathOf(withBranch(first, "q1", 1)))).toBe("q1b a3");
  });

  test("has ends at both sides of its branches", () => {
    const all = branched();
    expect(withBranch(all, "q1b", 1)).toBe(all);
    expect(withBranch(all, "nobody", -1)).toBe(all);
  });

  test("gives the way to a message that is not being read", () => {
    expect(ids(pathTo(branched(), "q2"))).toBe("q1 a1 q2");
  });

  test("is named by its first words until it is renamed", () => {
    const words = "one two three four five six seven eight";
    const named = withMessage(newConversation("c", 0), user("q", null, words), 1);
    expect(named.title).toBe("one two three four five six seven…");
    const renamed = withTitle(named, "  My \n title ");
    expect(withMessage(renamed, user("r", null, "other"), 2).title).toBe("My title");
    expect(withTitle(named, "   ")).toBe(named);
    expect(titleOf(" ")).toBe(UNTITLED);
  });

  test("changes answers only", () => {
    const all = withAnswer(branched(), "a3", { content: "more" });
    expect(pathOf(all).at(-1)?.content).toBe("more");
    expect(pathOf(withAnswer(all, "q1b", { content: "no" }))[0]?.content).toBe("q1b");
  });

  test("says after a reload that what was being written broke off, and keeps it", () => {
    const writing = withAnswer(branched(), "a3", { state: "writing", content: "half" });
    const last = pathOf(brokenOff(writing, writingIn(writing))).at(-1);
    expect(last).toMatchObject({ state: "broken", content: "half" });
    expect(last && "trouble" in last && last.trouble).toMatch(/closed/);
  });

  test("survives links in circles", () => {
    const all = { ...branched(), read: { "": "q1", q1: "a1", a1: "q1" } };
    expect(ids(pathOf(all))).toBe("q1 a1");
    const loop = { ...all, messages: [{ ...user("x", "y") }, { ...user("y", "x") }] };
    expect(ids(pathTo(loop, "x"))).toBe("y x");
  });
});

describe("conversations as a file", () => {
  test("come back as they were", () => {
    const figures = { tokens: 3, promptTokens: 2, cachedTokens: 1, tokensPerSecond: 4, firstTokenMs: 5, seed: null };
    const full = withAnswer(branched(), "a3", {
      figures,
      reasoning: "why",
      thoughtMs: 7,
      calls: [{ name: "f", arguments: "{}" }],
      view: { from: "q1b", at: 0 },
    });
    expect(readConversations(writeConversations([full, newConversation("d", 3)]))).toEqual([
      full,
      newConversation("d", 3),
    ]);
  });

  test.each([
    ["no JSON", "{", /Expected JSON/],
    ["another file", "{}", /another kind of JSON/],
    ["a later version", '{"format":"octavo-conversations","version":2}', /version 1.*got 2/],
    ["no list", '{"format":"octavo-conversations","version":1}', /conversations: expected a list/],
    [
      "a stranger's role",
      '{"format":"octavo-conversations","version":1,"conversations":[{"id":"a","title":"t","messages":[{"id":"m","parent":null,"content":"c","role":"root"}]}]}',
      /conversations\[0\]\.messages\[0\]\.role/,
    ],
  ])("are refused with the place of the fault: %s", (_, json, message) => {
    expect(() => readConversations(json)).toThrow(message);
  });

  test("lose links to messages that are not there", () => {
    const wild = { ...branched(), read: { "": "nobody", q1: "a1" } };
    expect(conversationOf(wild, "it").read).toEqual({ q1: "a1" });
  });
});
