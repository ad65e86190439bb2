import { describe, expect, test, vi } from "vitest";
import { firstFitting, promptRoom, shown, viewsOf } from "../../../../demo/chat/context-fit.ts";
import type { Message, View } from "../../../../demo/chat/conversation.ts";

const message = (id: string, content: string, role: "user" | "assistant" = "user") =>
  ({ id, parent: null, role, content }) as Message;
const path = [message("q1", "a"), message("a1", "b", "assistant"), message("q2", "c"), message("a2", "d", "assistant")];
const texts = (view: View | null, all: readonly Message[] = path) => shown(all, view).map(({ content }) => content);

describe("what a model is shown", () => {
  test("begins at the view, and is everything where that is not on the path", () => {
    expect(texts(null)).toEqual(["a", "b", "c", "d"]);
    expect(texts({ from: "q2", at: 0 })).toEqual(["c", "d"]);
    expect(texts({ from: "gone", at: 3 })).toEqual(["a", "b", "c", "d"]);
  });

  test("begins with an exchange in a chat, and the last one stays", () => {
    expect(viewsOf([...path, message("q3", "e")], false).map(({ from }) => from)).toEqual(["q2", "q3"]);
    expect(viewsOf(path.slice(0, 2), false)).toEqual([]);
  });

  test.each([
    ["sentences", 'He said "No." She went!\\nThe end', ['He said "No." ', "She went!\\n", "The end"]],
    ["words where there are no sentences", "one two three", ["one ", "two ", "three"]],
    ["full stops of other scripts", "雨。雪。", ["雨。", "雪。"]],
  ])("begins at %s in a story", (_, escaped, parts) => {
    const text = escaped.replaceAll("\\n", "\n");
    const story = [message("q", text), message("a", text, "assistant")];
    const starts = parts.map((_, i) => parts.slice(0, i).join("").replaceAll("\\n", "\n").length);
    const views = viewsOf(story, true);
    expect(views.map(({ from, at }) => `${from}${at}`)).toEqual([
      ...starts.slice(1).map((at) => `q${at}`),
      ...starts.map((at) => `a${at}`),
    ]);
    for (const view of views) expect(text.endsWith(texts(view, story)[0] ?? "")).toBe(true);
  });

  test("leaves out as little as fits, and asks little for it", async () => {
    const views = Array.from({ length: 100 }, (_, at) => ({ from: "m", at }));
    const count = vi.fn(async ({ at }: View) => 1000 - 10 * at);
    for (const most of [1000, 995, 500, 10]) {
      const view = await firstFitting(views, most, count);
      expect(view?.at).toBe(Math.ceil((1000 - most) / 10));
    }
    expect(count.mock.calls.length).toBeLessThan(40);
    expect(await firstFitting(views, 0, count)).toEqual({ from: "m", at: 99 });
    expect(await firstFitting([], 10, count)).toBeNull();
  });

  test("leaves room for an answer, and more where something is left out", () => {
    expect(promptRoom(512, 160)).toEqual({ most: 496, good: 352 });
    expect(promptRoom(512, 4)).toEqual({ most: 508, good: 384 });
    expect(promptRoom(2048, 100_000)).toEqual({ most: 1984, good: 1024 });
    expect(promptRoom(1, 1)).toEqual({ most: 0, good: 1 });
  });
});
