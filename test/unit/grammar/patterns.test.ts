/** Patterns and EBNF: what random logits write matches, by JavaScript's own engine; texts that do and do not; refusals. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { GrammarEngine } from "../../../src/grammar/grammar-engine.ts";
import { tokenBytes } from "../../../src/tokenizer/token-bytes.ts";
import { allows, engine, tokenizer, written } from "./vocabulary.ts";

describe("what random logits write matches", () => {
  const patterns = [
    "[A-Z][a-z]{2,9} (?:won|lost) by \\d{1,3}\\.",
    "^(a|bc)*d{2}$",
    "[^\\W\\d_]{3}-\\D{2}",
    ".{5}",
    "[à-ÿ]{3}|[\\u4e00-\\u9fff]{2}|\\u{1F600}{1,2}",
    "\\S{4}",
    "(?<year>\\d{4})-(0[1-9]|1[0-2])?",
  ];
  test.each(patterns)(
    "%s",
    async (pattern) => {
      const whole = new RegExp(`^(?:${pattern})$`, "u");
      for (let seed = 0; seed < 6; seed++) {
        const { text, reason } = await written({ type: "regex", pattern }, seed);
        expect(reason).toBe("stop");
        expect(text).toMatch(whole);
      }
    },
    60_000,
  );
});

test("the whole of a pattern, and no more", async () => {
  const pattern = "é+|[^é]x?|日本";
  for (const text of ["é", "éé", "日x", "日本", "a"])
    expect(await allows({ type: "regex", pattern }, text), text).toBe(true);
  for (const text of ["éx", "", "日本x", "ab"])
    expect(await allows({ type: "regex", pattern }, text), text).toBe(false);
});

describe("EBNF", () => {
  const grammar =
    'root ::= greeting " " name ("!" | "?")*\ngreeting ::= "Hello" | "Moin"\nname ::= [A-Z] [a-z]+ # a word';

  test("holds texts", async () => {
    for (const text of ["Hello Ann", "Moin Bo!?"]) expect(await allows({ type: "ebnf", grammar }, text)).toBe(true);
    for (const text of ["hello Ann", "Hello A", "Hello Ann."])
      expect(await allows({ type: "ebnf", grammar }, text)).toBe(false);
    const { text } = await written({ type: "ebnf", grammar }, 3, { maxTokens: 60 });
    expect(text).toMatch(/^(Hello|Moin) ([A-Z]([a-z]+[!?]*)?)?$/);
  });

  test("may name itself", async () => {
    const nested = 'root ::= "(" root ")" | ""';
    expect(await allows({ type: "ebnf", grammar: nested }, "((()))")).toBe(true);
    expect(await allows({ type: "ebnf", grammar: nested }, "(()")).toBe(false);
  });

  const bad: [string, RegExp][] = [
    ["root ::= ", /Expect element/],
    ["root ::= a", /Rule "a" is not defined/],
    ['x ::= "a"', /root rule with name "root" is not found/],
    ['root ::= "a', /Expect " in string literal/],
  ];
  test.each(bad)("%j is refused, in the engine's own words", async (wrong, says) => {
    const own = await GrammarEngine.create(tokenBytes(tokenizer, 300));
    await expect(own.hold({ type: "ebnf", grammar: wrong })).rejects.toThrow(UsageError);
    await expect(own.hold({ type: "ebnf", grammar: wrong })).rejects.toThrow(says);
    expect(own.aborted).toBe(true);
  });
});

test("patterns that a grammar cannot say are refused", async () => {
  const bad: [string, RegExp][] = [
    ["a(?!b)", /cannot look around/],
    ["(a)\\1", /refers back/],
    ["\\bword", /cannot look around/],
    ["a^b", /cannot look around/],
    ["\\p{L}", /classes of Unicode/],
    ["a{9999}", /more than 4096 times/],
    ["[b-a]", /not one of ECMAScript/],
    ["[^\\s\\S]", /no character/],
  ];
  for (const [pattern, says] of bad) await expect(engine.hold({ type: "regex", pattern })).rejects.toThrow(says);
});

test("special tokens and what is no UTF-8 never come", async () => {
  const held = await engine.hold({ type: "regex", pattern: "[^x]*" });
  const { mask } = await held.allowed();
  const allowed = (id: number): boolean => ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1;
  for (const { id } of tokenizer.specials) expect(allowed(id)).toBe(false);
  const bytesOf = new Map(Array.from({ length: tokenizer.vocabSize }, (_, id) => [String(tokenizer.bytesOf(id)), id]));
  const byte = (value: number): number => bytesOf.get(String(Uint8Array.of(value))) ?? -1;
  for (const lone of [0xc0, 0xc1, 0xf5, 0xff, 0x80]) if (byte(lone) >= 0) expect(allowed(byte(lone))).toBe(false);
  held.accept(byte(0xed));
  const next = (await held.allowed()).mask;
  const follows = (value: number): boolean => ((next[byte(value) >>> 5]! >>> (byte(value) & 31)) & 1) === 1;
  expect([follows(0x80), follows(0x9f), follows(0xa0), follows(0xbf)]).toEqual([true, true, false, false]);
});
