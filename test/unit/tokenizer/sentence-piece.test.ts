/** SentencePiece's BPE from a GGUF file: Llama 2's vocabulary held to another package, small ones to the definition. */
import fc from "fast-check";
import llama from "llama-tokenizer-js";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../../src/errors.ts";
import { ggufVocabulary } from "../../../src/tokenizer/gguf-vocabulary.ts";
import { createTokenizer, type Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { AWKWARD } from "../../fixtures/awkward-text.ts";
import { llamaMetadata, llamaScore, TYPE } from "../../fixtures/vocabularies.ts";
import { sentencePieceIds } from "../../reference/sentence-piece.ts";

function build(metadata: Record<string, unknown>): Tokenizer {
  const vocabulary = ggufVocabulary(metadata);
  if (!vocabulary) throw new Error("no vocabulary");
  return createTokenizer("test", vocabulary.json, {}, vocabulary.scores);
}

const tokenizer = build(llamaMetadata());
/** Far more than it takes, far less than anything quadratic would. */
const BOUND_MS = 120_000;

const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd");

describe("Llama 2's vocabulary", () => {
  test.each(AWKWARD.filter((text) => text !== ""))("%j: the other package's ids, and back", (text) => {
    const ids = tokenizer.encode(text);
    expect(ids).toEqual(llama.encode(wellFormed(text)));
    expect(tokenizer.decode(ids.slice(1))).toBe(wellFormed(text));
  });

  test(
    "the definition's ids",
    () => {
      const idOf = new Map(llama.vocabById.map((piece, id) => [piece, id]));
      const scores = new Map(llama.vocabById.map((piece, id) => [piece, llamaScore(piece, id)] as const).slice(259));
      fc.assert(
        fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
          const piece = `\u2581${wellFormed(text).replaceAll(" ", "\u2581")}`;
          const expected = text === "" ? [] : sentencePieceIds(piece, scores, idOf);
          expect(tokenizer.encode(text, { addSpecial: false })).toEqual(expected);
        }),
      );
    },
    BOUND_MS,
  );

  test("the begin token, text that looks like one, and spaces around it", () => {
    expect(tokenizer.encode("")).toEqual([1]);
    expect(tokenizer.encode("<s>")).not.toEqual([1, 1]);
    expect(tokenizer.decode(tokenizer.encode("<s>"))).toBe("<s> <s>");
    expect(tokenizer.encode("<s>Hello", { allowSpecial: true, addSpecial: false })).toEqual([1, 15043]);
    expect(tokenizer.decode([15043, 29871, 15043])).toBe("Hello  Hello");
    expect(tokenizer.encode("<0x41>").slice(1)).not.toContain(68);
  });

  test("a continuation keeps the space that it begins with", () => {
    const [, ...ids] = tokenizer.encode("Hello world again");
    const decoder = tokenizer.createStreamDecoder(ids.slice(0, 1));
    expect(
      ids
        .slice(1)
        .map((id) => decoder.push(id))
        .join(""),
    ).toBe(" world again");
  });

  test("flags of the file", () => {
    const bare = build(
      llamaMetadata({
        "tokenizer.ggml.add_space_prefix": false,
        "tokenizer.ggml.add_bos_token": false,
        "tokenizer.ggml.add_eos_token": true,
      }),
    );
    expect(bare.encode("Hello")).toEqual([10994, 2]);
    expect(bare.decode([15043])).toBe(" Hello");
  });

  test(
    "a single word of 100 KB in bounded time",
    () => {
      for (const text of ["a".repeat(1e5), " ".repeat(1e5), "word ".repeat(2e4)]) {
        expect(tokenizer.decode(tokenizer.encode(text, { addSpecial: false }))).toBe(text);
      }
    },
    BOUND_MS,
  );
});

/** Pieces over a small alphabet, with scores that may tie, where the order of joining decides. */
const smallVocabulary = fc.uniqueArray(
  fc.tuple(
    fc.string({ unit: fc.constantFrom("a", "b", "\u2581"), minLength: 1, maxLength: 5 }),
    fc.integer({ min: -4, max: 0 }),
  ),
  {
    selector: ([piece]) => piece,
    minLength: 1,
    maxLength: 25,
  },
);

describe("small vocabularies", () => {
  test(
    "the definition's ids, ties of scores included",
    () => {
      fc.assert(
        fc.property(
          smallVocabulary,
          fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 30 }),
          (pieces, text) => {
            const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
            const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...pieces.map(([piece]) => piece)];
            const built = build({
              "tokenizer.ggml.model": "llama",
              "tokenizer.ggml.tokens": tokens,
              "tokenizer.ggml.scores": tokens.map((_, id) => pieces[id - 259]?.[1] ?? 0),
              "tokenizer.ggml.token_type": tokens.map((_, id) =>
                id >= 259 ? TYPE.normal : id >= 3 ? TYPE.byte : TYPE.control,
              ),
              "tokenizer.ggml.add_space_prefix": false,
            });
            const idOf = new Map(tokens.map((token, id) => [token, id]));
            const expected = sentencePieceIds(text.replaceAll(" ", "\u2581"), new Map(pieces), idOf);
            expect(built.encode(text, { addSpecial: false })).toEqual(expected);
          },
        ),
        { numRuns: 300 },
      );
    },
    BOUND_MS,
  );

  test(
    "user-defined tokens are found in any text, control tokens never are",
    () => {
      const metadata = llamaMetadata();
      const tokens = [...(metadata["tokenizer.ggml.tokens"] as string[]), "<tool>", "<end>", "\u2581\u2581x"];
      const types = [
        ...(metadata["tokenizer.ggml.token_type"] as number[]),
        TYPE.userDefined,
        TYPE.control,
        TYPE.userDefined,
      ];
      const scores = [...(metadata["tokenizer.ggml.scores"] as number[]), 0, 0, 0];
      const built = build({
        ...metadata,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": scores,
      });
      const ids = built.encode("a<tool>b<end>c  xd");
      expect(ids).toContain(32000);
      expect(ids).not.toContain(32001);
      expect(ids).toContain(32002);
      expect(built.decode(ids.slice(1))).toBe("a<tool> b<end>c  x d");
      expect(built.encode("b<end>c", { allowSpecial: true })).toContain(32001);
    },
    BOUND_MS,
  );

  test.each([
    [{ "tokenizer.ggml.scores": undefined }, /expected "tokenizer.ggml.scores" for a vocabulary of kind "llama"/],
    [{ "tokenizer.ggml.scores": [0] }, /"tokenizer.ggml.scores" for each of 32000 tokens as numbers, got 1 of 1/],
    [{ "tokenizer.ggml.scores": Array(32000).fill(Number.NaN) }, /got 0 of 32000/],
    [{ "tokenizer.ggml.bos_token_id": 1e9 }, /a token's id as "tokenizer.ggml.bos_token_id", got 1000000000/],
  ])("refusals %#", (more, message) => {
    expect(() => build({ ...llamaMetadata(), ...more })).toThrow(message);
    expect(() => build({ ...llamaMetadata(), ...more })).toThrow(FormatError);
  });
});
