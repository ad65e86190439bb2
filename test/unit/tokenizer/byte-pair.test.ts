/** Byte-level BPE from a GGUF file, o200k_base held to the tiktoken library, and how long large inputs take. */
import fc from "fast-check";
import o200k from "tiktoken/encoders/o200k_base.json" with { type: "json" };
import { Tiktoken } from "tiktoken/lite";
import { afterAll, describe, expect, test } from "vitest";
import { openTokenizer } from "../../../src/tokenizer/open.ts";
import { AWKWARD } from "../../fixtures/awkward-text.ts";
import { makeGguf } from "../../fixtures/make-gguf.ts";
import { o200kMetadata } from "../../fixtures/vocabularies.ts";

const expected = new Tiktoken(o200k.bpe_ranks, o200k.special_tokens, o200k.pat_str);
afterAll(() => expected.free());

const file = { name: "o200k.gguf", bytes: makeGguf({ metadata: o200kMetadata() }) };
const tokenizer = await openTokenizer(file);

/** Far more than it takes, far less than anything quadratic would. */
const BOUND_MS = 120_000;

const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd");
const expectedIds = (text: string): number[] => [...expected.encode(wellFormed(text), [], [])];

/** Characters of many kinds, close together, so that patterns and merges meet at every border. */
const mixed = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(..."abABzZ 1\u0661\n\r\t.'!/-_sStTlLvVeErRdDmM") },
      {
        weight: 2,
        arbitrary: fc.constantFrom(..."\u00e9\u0301\u4e2d\u3042\u0e01\u0928\u094d\u0645\u00a0\u0085\ufeff\u01c5\u02b0"),
      },
      { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 3 }) },
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""));

describe("o200k_base from a GGUF file", () => {
  test.each(AWKWARD)("%j: tiktoken's ids, and back", (text) => {
    const ids = tokenizer.encode(text);
    expect(ids).toEqual(expectedIds(text));
    expect(tokenizer.decode(ids)).toBe(wellFormed(text));
  });

  test(
    "tiktoken's ids for mixtures of everything",
    () => {
      fc.assert(
        fc.property(mixed, (text) => {
          expect(tokenizer.encode(text)).toEqual(expectedIds(text));
        }),
        { numRuns: 400 },
      );
    },
    BOUND_MS,
  );

  test("special tokens where they are allowed", () => {
    const text = "a<|endoftext|><|endofprompt|> b";
    const ids = tokenizer.encode(text, { allowSpecial: true });
    expect(ids).toEqual([...expected.encode(text, "all")]);
    expect(ids).toContain(199999);
    expect(tokenizer.decode(ids)).toBe(text);
    expect([tokenizer.eosId, tokenizer.bosId, tokenizer.vocabSize]).toEqual([199999, undefined, 200019]);
    expect(tokenizer.chatFormat).toEqual({ kind: "plain", hasTemplate: false, stopIds: [199999] });
  });

  test(
    "streamed text never shows half a character, and pieces join to the whole",
    () => {
      fc.assert(
        fc.property(mixed, fc.array(fc.nat(tokenizer.vocabSize - 1), { maxLength: 20 }), (text, noise) => {
          const real = tokenizer.encode(text);
          const decoder = tokenizer.createStreamDecoder();
          const pieces = real.map((id) => decoder.push(id));
          expect(pieces.join("") + decoder.flush()).toBe(wellFormed(text));
          if (!wellFormed(text).includes("\ufffd")) expect(pieces.join("")).not.toContain("\ufffd");
          const broken = tokenizer.createStreamDecoder(real);
          const after = noise.map((id) => broken.push(id)).join("") + broken.flush();
          expect(tokenizer.decode(real) + after).toBe(tokenizer.decode([...real, ...noise]));
        }),
        { numRuns: 200 },
      );
    },
    BOUND_MS,
  );

  test(
    "a megabyte of prose, and single words of 100 KB, in bounded time",
    () => {
      const prose = `${AWKWARD.filter((text) => !/[\ud800-\udfff]/.test(text)).join(" ")}\n`;
      const texts = [
        prose.repeat(Math.ceil(2 ** 20 / prose.length)),
        ..."aA1 \n\u4e2d'!".split("").map((c) => c.repeat(1e5)),
      ];
      for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    },
    BOUND_MS,
  );
});
