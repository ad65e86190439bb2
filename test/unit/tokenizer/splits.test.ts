/** How each name of a GGUF split cuts text, against pieces written down from the rules; and forged vocabularies. */
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import { preTokenizerOf, splitRule } from "../../../src/tokenizer/gguf-splits.ts";
import { ggufVocabulary } from "../../../src/tokenizer/gguf-vocabulary.ts";
import { openTokenizer } from "../../../src/tokenizer/open.ts";
import { createTokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { makeGguf } from "../../fixtures/make-gguf.ts";
import { byteMetadata, TYPE } from "../../fixtures/vocabularies.ts";

/** Pieces of `text`, joined by bars. */
function cut(name: string, text: string): string {
  const { pretokenizers } = preTokenizerOf(splitRule(name)) as { pretokenizers: { type: string }[] };
  const json = {
    model: { type: "BPE", vocab: { a: 0 }, merges: [] },
    pre_tokenizer: { type: "Sequence", pretokenizers: pretokenizers.filter(({ type }) => type === "Split") },
    normalizer: null,
    post_processor: null,
    decoder: null,
    added_tokens: [],
  };
  return (new HfTokenizer(json, {}).pre_tokenizer?.pre_tokenize(text) ?? []).join("|");
}

describe("pieces", () => {
  test.each([
    ["default", "it's 12345 a+b!! x", "it|'|s| |123|45| a|+|b|!!| x"],
    ["gpt-2", "it's 12345 a+b!!  x", "it|'s| 12345| a|+|b|!!| | x"],
    ["olmo", "a\n\nb IT'S", "a|\n|\n|b| IT|'|S"],
    ["smollm", "a 123 \u0663", "a| |1|2|3| |\u0663"],
    ["refact", "x12", "x|1|2"],
    ["falcon", "a 12345`b", "a| |123|45|`|b"],
    ["llama-bpe", "IT'S 12345\n\n b  c", "IT|'S| |123|45|\n\n| b| | c"],
    ["lfm2", "x1234", "x|123|4"],
    ["glm4", "x1234", "x|123|4"],
    ["dbrx", "(word) ok!\n", "(word|)| ok|!\n"],
    ["qwen2", "a 12 b\u0301c", "a| |1|2| b|\u0301c"],
    ["qwen35", "a 12 b\u0301c", "a| |1|2| b\u0301c"],
    ["deepseek-r1-qwen", "a12", "a|1|2"],
    [
      "deepseek-llm",
      "Hi 123\n\u4f60\u597d, \u00e9t\u00e9 \u05d0",
      "Hi| |123|\n|\u4f60\u597d|,| \u00e9|t|\u00e9| \u05d0",
    ],
    ["deepseek-coder", "Hi 12\n\u4f60, ok", "Hi| |1|2|\n|\u4f60|,| ok"],
    ["deepseek-v3", "a.b \u4f60\u597d 1234 !!\n", "a|.b| |\u4f60\u597d| |123|4| !!\n"],
    ["tekken", "camelCase it's 12", "camel|Case| it|'s| |1|2"],
    ["gpt-4o", "camelCase it's 1234 a/\n/b", "camel|Case| it's| |123|4| a|/\n/|b"],
    ["minimax-m2", "camelCase don't", "camel|Case| don't"],
    ["kimi-k2", "abc\u4f60\u597dDef it's", "abc|\u4f60\u597d|Def| it's"],
    ["bailingmoe2", "a 12\n\nb", "a| |1|2|\n\n|b"],
    ["seed-coder", "a!\nb", "a|!|\n|b"],
    ["afmoe", "1234567 123 12 a.b \u4f60\u597d", "1|234|567| |123| |12| a|.b| |\u4f60\u597d"],
  ])("%s: %j", (name, text, expected) => {
    expect(cut(name, text)).toBe(expected);
  });

  test.each(["superbpe", "viking", "", "no such", 7, "constructor"])("%j is refused by name", (name) => {
    expect(() => splitRule(name)).toThrow(UnsupportedError);
    expect(() => splitRule(name)).toThrow(`splits text by "${name}"; supported: default, gpt-2`);
  });

  test("runs of 100 KB in bounded time", () => {
    for (const name of ["default", "llama-bpe", "gpt-4o", "kimi-k2", "deepseek-llm", "deepseek-v3", "afmoe"]) {
      for (const unit of ["1", "a", "A", " ", "\n", "!", "\u0301", "\u4f60", "'", " \n"]) {
        const text = unit.repeat(1e5 / unit.length);
        expect(cut(name, text).replaceAll("|", "")).toBe(text);
      }
    }
  }, 120_000);
});

describe("forged vocabularies", () => {
  const open = (metadata: Record<string, unknown>) =>
    openTokenizer({ name: "m.gguf", bytes: makeGguf({ metadata: metadata as never }) });
  const base = byteMetadata(["<end>"], ["<x>"]);
  const tokens = base["tokenizer.ggml.tokens"] as string[];

  test.each([
    [
      "two tokens of one spelling",
      { "tokenizer.ggml.tokens": [...tokens.slice(0, -1), "<end>"] },
      /every token once, got "<end>" as 256 and 257/,
    ],
    ["no tokens", { "tokenizer.ggml.tokens": [] as string[] }, /tokens in "tokenizer.ggml.tokens"|array of strings/],
    ["a type too few", { "tokenizer.ggml.token_type": [1, 1] }, /"tokenizer.ggml.token_type" for each of 258 tokens/],
    ["a merge into nothing", { "tokenizer.ggml.merges": ["a b"] }, /a merge of two tokens into one, got "a b"/],
    ["a merge of one", { "tokenizer.ggml.merges": ["a "] }, /a merge of two tokens into one, got "a "/],
    [
      "a begin token that is none",
      { "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.bos_token_id": 9999 },
      /"tokenizer.ggml.bos_token_id", got 9999/,
    ],
    [
      "a special token of 1 MB",
      { "tokenizer.ggml.tokens": [...tokens.slice(0, -1), "y".repeat(2 ** 20)] },
      /at most 4096 characters, got 1048576 characters: "yyy/,
    ],
  ])("%s", async (_, more, message) => {
    await expect(open({ ...base, ...more })).rejects.toThrow(message);
    await expect(open({ ...base, ...more })).rejects.toBeInstanceOf(FormatError);
  });

  test("none, and a file that is no header", async () => {
    await expect(open({})).rejects.toThrow(/m\.gguf: no tokenizer/);
    await expect(open({})).rejects.toBeInstanceOf(UnsupportedError);
    await expect(openTokenizer({ name: "m.gguf", bytes: new Uint8Array(24) })).rejects.toBeInstanceOf(FormatError);
    await expect(openTokenizer({ name: "x.txt", bytes: new Uint8Array(1) })).rejects.toThrow(/no tokenizer/);
  });

  test("merges that make the same token over and over, spellings that are no UTF-8, places without a token", async () => {
    const more = [...tokens, "aa", "aaa", "\ufffd", "", ""];
    const tokenizer = await open({
      ...base,
      "tokenizer.ggml.tokens": more,
      "tokenizer.ggml.token_type": more.map((_, id) => (id === 256 ? TYPE.control : TYPE.normal)),
      "tokenizer.ggml.merges": ["a a", "aa a", "a aa", "a a"],
    });
    const text = "a".repeat(1e5);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.decode([261, 262])).toBe("");
    expect(tokenizer.encode("<end>")).not.toContain(256);
  });

  test("tokens that JavaScript has other uses for", () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
    const vocabulary = ggufVocabulary(byteMetadata([], names));
    const tokenizer = createTokenizer("test", vocabulary!.json);
    for (const [i, name] of names.entries()) expect(tokenizer.encode(name)).toEqual([256 + i]);
    expect(tokenizer.idOf("valueOf")).toBeUndefined();
  });
});

describe("where a tokenizer comes from", () => {
  const json = (extra: object) => ({
    name: "tokenizer.json",
    bytes: new TextEncoder().encode(
      JSON.stringify({
        model: { type: "BPE", vocab: { a: 0, b: 1, "<s>": 2, "<e>": 3, "<f>": 4 }, merges: [] },
        added_tokens: ["<s>", "<e>", "<f>"].map((content, i) => ({ id: 2 + i, content, special: true })),
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
        ...extra,
      }),
    ),
  });
  const file = (name: string, value: unknown) => ({
    name,
    bytes: new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)),
  });

  test("a folder's files: names of tokens, ends of turns, a template of its own", async () => {
    const tokenizer = await openTokenizer([
      json({}),
      file("tokenizer_config.json", { bos_token: { content: "<s>" }, eos_token: "<e>", chat_template: "no" }),
      file("generation_config.json", { eos_token_id: [4, 3, 77] }),
      file("chat_template.jinja", "{{ bos_token }}{{ messages[0].content }}"),
    ]);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.chatFormat.stopIds]).toEqual([2, 3, [3, 4]]);
    expect(await tokenizer.chatPrompt([{ role: "user", content: "ab<e>" }])).toMatchObject({ text: "<s>ab<e>" });
    expect((await tokenizer.chatPrompt([{ role: "user", content: "ab" }])).ids).toEqual([2, 0, 1]);
  });

  test("templates by name, in the configuration or in chat_template.json", async () => {
    const named = [
      { name: "default", template: "d" },
      { name: "rag", template: "r" },
    ];
    const inConfig = await openTokenizer([json({}), file("tokenizer_config.json", { chat_template: named })]);
    expect([...inConfig.chatTemplates]).toEqual([
      ["default", "d"],
      ["rag", "r"],
    ]);
    const inFile = await openTokenizer([json({}), file("chat_template.json", { chat_template: "j" })]);
    expect([...inFile.chatTemplates]).toEqual([["default", "j"]]);
  });

  test("flags of added tokens", () => {
    const flagged = (flags: object) => {
      const added_tokens = [{ id: 5, content: "<m>", special: true, ...flags }];
      const model = { type: "BPE", vocab: { a: 0, " ": 1 }, merges: [] };
      const { bytes } = json({ model, added_tokens });
      return createTokenizer("test", JSON.parse(new TextDecoder().decode(bytes)));
    };
    const encode = (flags: object) => flagged(flags).encode("a <m> a", { allowSpecial: true });
    expect(encode({})).toEqual([0, 1, 5, 1, 0]);
    expect(encode({ lstrip: true })).toEqual([0, 5, 1, 0]);
    expect(encode({ rstrip: true })).toEqual([0, 1, 5, 0]);
  });
});
