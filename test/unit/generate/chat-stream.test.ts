/** Thoughts and answers taken apart while they are written, whatever the pieces are that the text comes in. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ChatPart, createChatStream } from "../../../src/generate/chat-stream.ts";

const TAGS = { kind: "tags", thinking: { open: "<think>", close: "</think>" } } as const;
const CHANNELS = { kind: "channels", thinking: { open: "<|channel|>analysis<|message|>", close: "<|end|>" } } as const;
const PLAIN = { kind: "plain" } as const;

type Format = typeof TAGS | typeof CHANNELS | typeof PLAIN;

/** Parts of `text` given in `pieces`, neighbours of one kind joined. */
function read(format: Format, pieces: readonly string[], thinking = false): ChatPart[] {
  const stream = createChatStream(format, thinking);
  const joined: ChatPart[] = [];
  for (const part of [...pieces.flatMap((piece) => stream.push(piece)), ...stream.flush()]) {
    expect(part.text).not.toBe("");
    const last = joined.at(-1);
    if (last?.kind === part.kind && last.recipient === part.recipient) {
      joined[joined.length - 1] = { ...last, text: last.text + part.text };
    } else joined.push(part);
  }
  return joined;
}

const reasoning = (text: string): ChatPart => ({ kind: "reasoning", text });
const answer = (text: string): ChatPart => ({ kind: "answer", text });

const HARMONY =
  "<|channel|>analysis<|message|>So 1 < 2 <|x|>.<|end|><|start|>assistant<|channel|>commentary to=functions.add " +
  '<|constrain|>json<|message|>{"a":1}<|call|><|start|>assistant<|channel|>final<|message|>It is 2.<|return|>';

const CASES: readonly (readonly [string, Format, string, boolean, readonly ChatPart[]])[] = [
  ["no thought", TAGS, "Just <this> & <thin air>", false, [answer("Just <this> & <thin air>")]],
  ["a thought first", TAGS, "<think>\nhm\n</think>\n\nYes", false, [reasoning("\nhm\n"), answer("\n\nYes")]],
  ["begun in the prompt", TAGS, "hm < </think >.</think>Yes", true, [reasoning("hm < </think >."), answer("Yes")]],
  [
    "two thoughts",
    TAGS,
    "a<think>b</think>c<think>d</think>",
    false,
    [answer("a"), reasoning("b"), answer("c"), reasoning("d")],
  ],
  ["cut off inside", TAGS, "<think>hm </thi", false, [reasoning("hm </thi")]],
  ["an empty thought", TAGS, "<think></think>x", false, [answer("x")]],
  [
    "channels",
    CHANNELS,
    HARMONY,
    false,
    [
      reasoning("So 1 < 2 <|x|>."),
      { kind: "commentary", text: '{"a":1}', recipient: "functions.add" },
      answer("It is 2."),
    ],
  ],
  [
    "a preamble",
    CHANNELS,
    "<|channel|>commentary<|message|>I look.<|end|>",
    false,
    [{ kind: "commentary", text: "I look." }],
  ],
  ["no channels at all", CHANNELS, "word ".repeat(300), false, [answer("word ".repeat(300))]],
  ["plain", PLAIN, "<think>x</think>", false, [answer("<think>x</think>")]],
];

describe("parts", () => {
  test.each(CASES)("%s", (_, format, text, thinking, expected) => {
    expect(read(format, [text], thinking)).toEqual(expected);
    expect(read(format, [...text], thinking)).toEqual(expected);
  });

  test("however the text is cut", () => {
    const cuts = fc.array(fc.nat(40), { maxLength: 40 });
    fc.assert(
      fc.property(fc.constantFrom(...CASES), cuts, ([, format, text, thinking, expected], lengths) => {
        let at = 0;
        const pieces = lengths.map((length) => {
          at += length;
          return text.slice(at - length, at);
        });
        expect(read(format, [...pieces, text.slice(at)], thinking)).toEqual(expected);
      }),
    );
  });

  test("nothing is held back that cannot become a marker", () => {
    const stream = createChatStream(TAGS);
    expect(stream.push("a < b")).toEqual([answer("a < b")]);
    expect(stream.push("<thi")).toEqual([]);
    expect(stream.push("s")).toEqual([answer("<this")]);
    expect(stream.push("<think>")).toEqual([]);
    expect(stream.push("b")).toEqual([reasoning("b")]);
    expect(stream.flush()).toEqual([]);
  });
});
