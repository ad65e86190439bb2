import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Answer,
  type Conversation,
  newConversation,
  pathOf,
  withAnswer,
  withMessage,
  withTitle,
} from "../../../../demo/chat/conversation.ts";
import { merged, same } from "../../../../demo/chat/merge.ts";

const user = (id: string, parent: string | null) => ({ id, parent, role: "user" as const, content: id });
const answer = (id: string, parent: string, content = id): Answer => ({
  ...{ id, parent, role: "assistant", content, state: "stop", model: "m", prose: false, reasoning: "" },
  ...{ thoughtMs: null, calls: [], figures: null, trouble: "", view: null },
});
const add = (to: Conversation, ...messages: (Answer | ReturnType<typeof user>)[]) =>
  messages.reduce((all, message) => withMessage(all, message, all.updatedAt + 1), to);
const ids = ({ messages }: Conversation) => messages.map(({ id }) => id).join(" ");
const copied = () => "copy";

const base = add(newConversation("c", 0), user("q1", null), answer("a1", "q1"));

describe("two versions of a conversation", () => {
  test("are the changed one where one of them did not change", () => {
    const changed = add(base, user("q2", "a1"));
    expect(merged(base, changed, structuredClone(base), copied)).toBe(changed);
    expect(merged(base, structuredClone(base), changed, copied)).toEqual(changed);
  });

  test("have the messages of both, and each tab reads on where it was", () => {
    const ours = add(base, user("ours", "a1"), answer("a2", "ours"));
    const theirs = add(base, user("theirs", "a1"));
    const both = merged(base, ours, theirs, copied);
    expect(ids(both)).toBe("q1 a1 theirs ours a2");
    expect(pathOf(both).map(({ id }) => id)).toEqual(["q1", "a1", "ours", "a2"]);
    expect(pathOf(merged(base, theirs, ours, copied)).at(-1)?.id).toBe("theirs");
    expect(pathOf(merged(ours, ours, both, copied)).at(-1)?.id).toBe("a2"); // also when it is told of it later
  });

  test("keep the title that one of them gave", () => {
    const ours = add(base, user("ours", "a1"));
    expect(merged(base, ours, withTitle(base, "Theirs"), copied)).toMatchObject({ title: "Theirs", renamed: true });
    expect(merged(base, withTitle(base, "Ours"), withTitle(base, "Theirs"), copied).title).toBe("Ours");
  });

  test("have the longer of two states of an answer, and both of two answers", () => {
    const ours = withAnswer(base, "a1", { content: "a1 and more" });
    const longer = withAnswer(base, "a1", { content: "a1 and more still" });
    expect(merged(base, ours, longer, copied).messages[1]).toMatchObject({ id: "a1", content: "a1 and more still" });
    const other = withAnswer(base, "a1", { content: "a1 or less" });
    const both = merged(base, ours, other, copied);
    expect(both.messages.map(({ id, content }) => [id, content])).toEqual([
      ["q1", "q1"],
      ["a1", "a1 and more"],
      ["copy", "a1 or less"],
    ]);
  });

  test("of unknown origin lose nothing either", () => {
    const ours = add(newConversation("c", 5), user("x", null));
    expect(ids(merged(undefined, ours, base, copied))).toBe("q1 a1 x");
  });

  test("whatever each wrote, contain all of it, from both sides the same messages", () => {
    const edits = fc.array(fc.tuple(fc.constantFrom("q1", "a1"), fc.string({ minLength: 1, maxLength: 3 })), {
      maxLength: 6,
    });
    const version = (side: string, [answers, text]: [[string, string][], string]) =>
      answers.reduce(
        (all, [parent, content], i) => add(all, answer(`${side}${i}`, parent, content)),
        withAnswer(base, "a1", { content: text }),
      );
    fc.assert(
      fc.property(fc.tuple(edits, fc.string()), fc.tuple(edits, fc.string()), (left, right) => {
        const [ours, theirs] = [version("l", left), version("r", right)];
        const one = merged(base, ours, theirs, copied);
        const other = merged(base, theirs, ours, copied);
        const texts = (all: Conversation) => new Set(all.messages.map(({ content }) => content));
        for (const { content, id } of [...ours.messages, ...theirs.messages]) {
          if (id !== "a1") expect(texts(one).has(content)).toBe(true);
          else expect([...texts(one)].some((kept) => kept.startsWith(content) || same(content, "a1"))).toBe(true);
        }
        expect(texts(one)).toEqual(texts(other));
        // What was merged once is merged: nothing comes twice.
        expect(same(merged(theirs, one, theirs, copied), one)).toBe(true);
      }),
    );
  });
});
