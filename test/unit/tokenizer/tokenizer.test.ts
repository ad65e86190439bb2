/** The tokenizer of the default model from both its sources, the GGUF splits, and text that grows token by token. */
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError, UsageError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { ggufVocabulary } from "../../../src/tokenizer/gguf-vocabulary.ts";
import { loadTokenizer, type Tokenizer } from "../../../src/tokenizer/load.ts";
import { createStreamDecoder } from "../../../src/tokenizer/stream-decoder.ts";
import { createTokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { AWKWARD } from "../../fixtures/awkward-text.ts";
import { folderFileSet, memoryFileSet, readRepositoryFile } from "../../fixtures/files.ts";

const FOLDER = "demo/public/models/octavo-tales";
const GGUF = "octavo-tales-q8_0.gguf";

async function load(names: readonly string[]): Promise<Tokenizer> {
  const files = folderFileSet(FOLDER, names);
  const tokenizer = await loadTokenizer(files, await openCheckpoint(files));
  if (!tokenizer) throw new Error("no tokenizer");
  return tokenizer;
}

const fromJson = await load([GGUF, "tokenizer.json"]);
const fromGguf = await load([GGUF]);

describe("the default model", () => {
  test("golden prompts", () => {
    const golden: { prompts: { prompt: string; tokens: number[] }[] } = JSON.parse(
      new TextDecoder().decode(readRepositoryFile("test/fixtures/octavo-tales/golden.json")),
    );
    expect(golden.prompts.length).toBeGreaterThan(0);
    for (const { prompt, tokens } of golden.prompts) {
      expect(fromJson.encode(prompt)).toEqual(tokens);
      expect(fromGguf.encode(prompt)).toEqual(tokens);
    }
  });

  test.each(AWKWARD)("%j: the same ids from tokenizer.json and from the GGUF, and back", (text) => {
    const ids = fromJson.encode(text);
    expect(fromGguf.encode(text)).toEqual(ids);
    const whole = text.replace(/\p{Surrogate}/gu, "\ufffd");
    expect(fromJson.decode(ids)).toBe(whole);
    expect(fromGguf.decode(ids)).toBe(whole);
  });

  test("vocabulary size, ids past it, and what is no id", () => {
    expect([fromJson.vocabSize, fromGguf.vocabSize]).toEqual([4096, 4096]);
    expect(fromJson.decode([5000, 2385, 1e9])).toBe("Once");
    expect(fromJson.decode([])).toBe("");
    for (const id of [-1, 0.5, Number.NaN]) expect(() => fromJson.decode([id])).toThrow(UsageError);
  });

  test("the spelling of a special token is text, or that token where it is allowed", () => {
    for (const tokenizer of [fromJson, fromGguf]) {
      expect(tokenizer.encode("<|endoftext|>", { allowSpecial: true })).toEqual([0]);
      const asText = tokenizer.encode("a<|endoftext|>");
      expect(asText).not.toContain(0);
      expect(tokenizer.decode(asText)).toBe("a<|endoftext|>");
      expect(tokenizer.decode([0, 3])).toBe("<|endoftext|><think>");
      expect([tokenizer.idOf("<|endoftext|>"), tokenizer.tokenOf(0)]).toEqual([0, "<|endoftext|>"]);
      expect(tokenizer.specials).toContainEqual({ id: 0, content: "<|endoftext|>" });
    }
  });
});

describe("streaming", () => {
  test.each(AWKWARD)("%j: pieces join to the whole, none ends in half a character", (text) => {
    const ids = fromJson.encode(text);
    const decoder = fromJson.createStreamDecoder();
    const pieces = ids.map((id) => decoder.push(id));
    const real = text.includes("\ufffd") || text.includes("lone");
    for (const piece of pieces) expect(piece.endsWith("\ufffd") && !real).toBe(false);
    expect(pieces.join("") + decoder.flush()).toBe(fromJson.decode(ids));
    expect(decoder.flush()).toBe("");
  });

  test("long texts, with the early ids let go", () => {
    const text = "\u4f60\u597d\u{1f600} word ".repeat(200);
    const ids = fromJson.encode(text);
    const decoder = fromJson.createStreamDecoder();
    expect(ids.map((id) => decoder.push(id)).join("") + decoder.flush()).toBe(text);
  });

  test("random ids, valid text or not, are what decode gives", () => {
    let seed = 1;
    const next = (): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % 262;
    };
    for (let run = 0; run < 50; run++) {
      // The first ids are the single bytes, so most runs are full of broken sequences.
      const ids = Array.from({ length: 120 }, next);
      const decoder = fromJson.createStreamDecoder();
      expect(ids.map((id) => decoder.push(id)).join("") + decoder.flush()).toBe(fromJson.decode(ids));
    }
  });

  test("an unfinished character comes out by flush only, and decoding goes on after it", () => {
    const bytes = fromJson.encode("\u{1f600}");
    const decoder = fromJson.createStreamDecoder();
    expect(decoder.push(bytes[0]!)).toBe("");
    expect(decoder.flush()).toBe("\ufffd");
    expect(bytes.map((id) => decoder.push(id)).join("")).toBe("\u{1f600}");
  });

  test("work per token does not grow with the text", () => {
    let most = 0;
    const decoder = createStreamDecoder((ids) => {
      most = Math.max(most, ids.length);
      return "\ufffd".repeat(ids.length);
    });
    for (let i = 0; i < 1000; i++) decoder.push(i);
    expect(most).toBeLessThan(40);
  });
});

describe("which vocabulary is taken", () => {
  const gguf = (config: Record<string, unknown>): Checkpoint => ({
    container: "gguf",
    config,
    tensors: new Map(),
    shards: [],
  });

  test("a vocabulary without a token that its own rules add", () => {
    const special = { id: "<s>", ids: [9], tokens: ["<s>"] };
    const json = {
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      decoder: null,
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
        pair: [],
        special_tokens: { "<s>": special },
      },
    };
    expect(() => createTokenizer("tokenizer.json", json).encode("a")).toThrow(/the token "<s>".*has no id/);
  });

  test("none at all is no error", async () => {
    expect(await loadTokenizer(memoryFileSet({ "m.gguf": "" }), gguf({}))).toBeUndefined();
    expect(
      await loadTokenizer(memoryFileSet({ "m.gguf": "" }), gguf({ "tokenizer.ggml.model": "none" })),
    ).toBeUndefined();
    const folder: Checkpoint = { ...gguf({}), container: "safetensors" };
    expect(await loadTokenizer(memoryFileSet({ "config.json": "{}" }), folder)).toBeUndefined();
  });

  test("tokenizer.json wins over a vocabulary that could not be read", async () => {
    const json = new TextDecoder().decode(readRepositoryFile(`${FOLDER}/tokenizer.json`));
    const files = memoryFileSet({ "tokenizer.json": json, "tokenizer_config.json": "{}", "m.gguf": "" });
    const tokenizer = await loadTokenizer(files, gguf({ "tokenizer.ggml.model": "t5" }));
    expect(tokenizer?.encode("Once")).toEqual([2385]);
  });

  const vocabulary = { "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": [] };
  test.each([
    [{ ...vocabulary, "tokenizer.ggml.model": "t5" }, UnsupportedError, /of kind "t5"; supported: gpt2, llama/],
    [{ ...vocabulary, "tokenizer.ggml.model": "bert" }, UnsupportedError, /of kind "bert"; supported/],
    [{ ...vocabulary, "tokenizer.ggml.pre": "superbpe" }, UnsupportedError, /by "superbpe"; supported: default, gpt-2/],
    [{ ...vocabulary, "tokenizer.ggml.tokens": [1] }, FormatError, /"tokenizer.ggml.tokens" to be an array of strings/],
    [{ ...vocabulary, "tokenizer.ggml.merges": ["ab"] }, FormatError, /a merge of two tokens into one, got "ab"/],
    [
      { ...vocabulary, "tokenizer.ggml.token_type": [1, 1] },
      FormatError,
      /"tokenizer.ggml.token_type" for each of 1 tokens/,
    ],
    [{ ...vocabulary, "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.bos_token_id": 9 }, FormatError, /got 9/],
  ] as const)("refusals %#", (metadata, Class, message) => {
    expect(() => ggufVocabulary(metadata)).toThrow(message);
    expect(() => ggufVocabulary(metadata)).toThrow(Class);
  });

  test.each([
    ["not JSON", "<html>", /tokenizer.json: expected JSON/],
    ["no vocabulary", "{}", /expected model.vocab and added_tokens/],
    ["an id that is none", '{"model":{"vocab":{"a":-1}}}', /token ids from 0 to/],
    ["an id far too high", '{"model":{"vocab":{"a":4000000000}}}', /got 4000000000/],
    ["no tokenizer", '{"model":{"vocab":{"a":0}}}', /tokenizer.json: not a tokenizer/],
  ])("a bad tokenizer.json: %s", async (_, json, message) => {
    const loading = loadTokenizer(memoryFileSet({ "tokenizer.json": json }), gguf({}));
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toBeInstanceOf(FormatError);
  });
});

describe("GGUF splits", () => {
  /** A tokenizer whose vocabulary is the single bytes and some words, in GPT-2's byte alphabet. */
  function build(pre: string | undefined, extra: Record<string, unknown> = {}): Tokenizer {
    const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
    const tokens = [...printable, "\u0120", "\u010a", "<s>", "12", "123", "\u01201", "'S", "ab", "\u00c3", "\u00a9"];
    const vocabulary = ggufVocabulary({
      "tokenizer.ggml.model": "gpt2",
      ...(pre === undefined ? {} : { "tokenizer.ggml.pre": pre }),
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.token_type": tokens.map((token) => (token === "<s>" ? 3 : 1)),
      "tokenizer.ggml.merges": ["1 2", "12 3", "\u0120 1", "' S"],
      "tokenizer.ggml.bos_token_id": tokens.indexOf("<s>"),
      ...extra,
    });
    if (!vocabulary) throw new Error("no tokenizer");
    return createTokenizer("test", vocabulary.json);
  }

  const pieces = (tokenizer: Tokenizer, text: string): string[] =>
    tokenizer.encode(text).map((id) => tokenizer.decode([id]));

  test.each([
    [undefined, "a 123", ["a", " ", "123"]],
    ["default", "1234", ["123", "4"]],
    ["smollm", "a 123", ["a", " ", "1", "2", "3"]],
    ["qwen2", "a 123", ["a", " ", "1", "2", "3"]],
    ["llama-bpe", "a 1234", ["<s>", "a", " ", "123", "4"]],
    ["gpt-2", "x'S", ["x", "'", "S"]],
    ["qwen2", "x'S", ["x", "'S"]],
    // Whole tokens that no merge makes are taken by llama-bpe alone.
    ["default", "ab", ["a", "b"]],
    ["llama-bpe", "ab", ["<s>", "ab"]],
  ])("%s splits %j", (pre, text, expected) => {
    expect(pieces(build(pre), text)).toEqual(expected);
  });

  test("the file says whether a begin token comes first", () => {
    expect(pieces(build("smollm", { "tokenizer.ggml.add_bos_token": true }), "a")).toEqual(["<s>", "a"]);
    expect(pieces(build("llama-bpe", { "tokenizer.ggml.add_bos_token": false }), "a")).toEqual(["a"]);
  });

  test("qwen2 composes characters as its tokenizer.json does", () => {
    expect(build("qwen2").encode("e\u0301")).toEqual(build("qwen2").encode("\u00e9"));
  });
});
