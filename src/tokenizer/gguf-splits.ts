/**
 * How byte-level BPE cuts text into pieces before merging, by the name that a GGUF file gives it (`tokenizer.ggml.pre`).
 * The names and what they stand for are those of llama.cpp's `llama-vocab.cpp` (commit 00ad355), the patterns those of
 * the models' own `tokenizer.json` where the two spell one rule differently. A wrong guess would be silently worse than
 * none, so names that are not here are refused.
 */
import { UnsupportedError } from "../errors.ts";
import type { JsonObject } from "../formats/read-json.ts";

/** What one name says about the treatment of text. */
export interface SplitRule {
  readonly normalizer: JsonObject | null;
  /** Patterns applied in turn, each to the pieces of the one before; what a pattern matches becomes a piece. */
  readonly patterns: readonly string[];
  /** A piece that is a whole token is taken as such, merges or not. */
  readonly ignoreMerges: boolean;
  /** Whether a begin token comes first where the file does not say. */
  readonly addBos: boolean;
}

const rule = (patterns: readonly string[], more: Partial<SplitRule> = {}): SplitRule => ({
  normalizer: null,
  ignoreMerges: false,
  addBos: false,
  ...more,
  patterns,
});

/** Words with a space before them, numbers, the rest; contractions in lower case only. */
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Contractions, words with one leading other character, digits as given, the rest. */
const wordsAndDigits = (digits: string): string =>
  `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;

/**
 * Words that also end where capitals begin. `letter` narrows the letters, `ending` may follow a word, `tail` may
 * follow punctuation.
 */
function casedWords(digits: string, ending: string, tail: string, letter = ""): string {
  const upper = `(?:${letter}[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])`;
  const lower = `(?:${letter}[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])`;
  const lead = "[^\\r\\n\\p{L}\\p{N}]?";
  return (
    `${lead}${upper}*${lower}+${ending}|${lead}${upper}+${lower}*${ending}|${digits}|` +
    ` ?[^\\s\\p{L}\\p{N}]+${tail}|${SPACES}`
  );
}

/** Words that begin with ASCII punctuation, words with their combining marks, punctuation and symbols, spaces. */
const MARKED_WORDS =
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
  ` ?[\\p{P}\\p{S}]+[\\r\\n]*|${SPACES}`;

const NO_HAN = "(?!\\p{Script=Han})";

/** DeepSeek's first vocabularies list the letters of bicameral scripts one range after the other. */
const BICAMERAL =
  "A-Za-z\\u00B5\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u01BA\\u01BC-\\u01BF\\u01C4-\\u0293\\u0295-\\u02AF" +
  "\\u0370-\\u0373\\u0376\\u0377\\u037B-\\u037D\\u037F\\u0386\\u0388-\\u038A\\u038C\\u038E-\\u03A1\\u03A3-\\u03F5" +
  "\\u03F7-\\u0481\\u048A-\\u052F\\u0531-\\u0556\\u10A0-\\u10C5\\u13A0-\\u13F5\\u13F8-\\u13FD\\u1C90-\\u1CBA" +
  "\\u1CBD-\\u1CBF\\u1D00-\\u1D2B\\u1D6B-\\u1D77\\u1D79-\\u1D9A\\u1E00-\\u1F15\\u1F18-\\u1F1D\\u1F20-\\u1F45" +
  "\\u1F48-\\u1F4D\\u1F50-\\u1F57\\u1F59\\u1F5B\\u1F5D\\u1F5F-\\u1F7D\\u1F80-\\u1FB4\\u1FB6-\\u1FBC\\u1FBE" +
  "\\u1FC2-\\u1FC4\\u1FC6-\\u1FCC\\u1FD0-\\u1FD3\\u1FD6-\\u1FDB\\u1FE0-\\u1FEC\\u1FF2-\\u1FF4\\u1FF6-\\u1FFC" +
  "\\u2102\\u2107\\u210A-\\u2113\\u2115\\u2119-\\u211D\\u2124\\u2126\\u2128\\u212A-\\u212D\\u212F-\\u2134\\u2139" +
  "\\u213C-\\u213F\\u2145-\\u2149\\u214E\\u2183\\u2184\\u2C00-\\u2C7B\\u2C7E-\\u2CE4\\u2CEB-\\u2CEE\\u2CF2\\u2CF3" +
  "\\uA640-\\uA66D\\uA680-\\uA69B\\uA722-\\uA76F\\uA771-\\uA787\\uA78B-\\uA78E\\uAB70-\\uABBF\\uFB00-\\uFB06" +
  "\\uFB13-\\uFB17\\uFF21-\\uFF3A\\uFF41-\\uFF5A\\u{10400}-\\u{1044F}\\u{104B0}-\\u{104D3}\\u{104D8}-\\u{104FB}" +
  "\\u{10C80}-\\u{10CB2}\\u{10CC0}-\\u{10CF2}\\u{118A0}-\\u{118DF}\\u{1E900}-\\u{1E943}";
/** CJK ideographs; then the wide stretch that DeepSeek's vocabularies take with them. */
const IDEOGRAPHS_AND_MORE = "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+";
const IDEOGRAPHS_AND_KANA = "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+";
/** Scripts without spaces between words, as Arcee's vocabulary lists them. */
const UNSPACED_SCRIPTS =
  "[\\u4E00-\\u9FFF\\u3400-\\u4DBF\\uF900-\\uFAFF\\u3040-\\u309F\\u30A0-\\u30FF\\uFF65-\\uFF9F\\u2F00-\\u2FDF" +
  "\\u0E40-\\u0E7F\\u0E80-\\u0EFF\\u1780-\\u17FF\\u1000-\\u109F\\uAA60-\\uAA7F\\uA9E0-\\uA9FF\\uAC00-\\uD7AF" +
  "\\u1100-\\u11FF]+";

const NFC = { normalizer: { type: "NFC" } };
const GPT2 = rule([GPT2_WORDS]);
const SINGLE_DIGITS = rule(["\\p{N}", GPT2_WORDS]);
const ONE_DIGIT = rule([wordsAndDigits("\\p{N}")]);
const THREE_DIGITS = rule([wordsAndDigits("\\p{N}{1,3}")]);
const LLAMA3 = rule(THREE_DIGITS.patterns, { ignoreMerges: true, addBos: true });
const O200K = rule([casedWords("\\p{N}{1,3}", `${CONTRACTION}?`, "[\\r\\n/]*")], { ignoreMerges: true });
const DEEPSEEK3 = rule(["\\p{N}{1,3}", IDEOGRAPHS_AND_KANA, MARKED_WORDS]);
const BAILING = rule([
  `'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|` +
    "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
]);

const NAMES: readonly (readonly [SplitRule, readonly string[]])[] = [
  [rule(["[\\p{P}$+<=>^~|]+", GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"]), ["default"]],
  [GPT2, ["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "mellum", "exaone4", "gigachat"]],
  [SINGLE_DIGITS, ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"]],
  [rule(["[\\p{P}$+<=>^~|`]+", GPT2_WORDS, "[0-9][0-9][0-9]"]), ["falcon"]],
  [LLAMA3, ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"]],
  [THREE_DIGITS, ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"]],
  [rule(ONE_DIGIT.patterns, NFC), ["qwen2", "megrez"]],
  [ONE_DIGIT, ["deepseek-r1-qwen", "stablelm2", "hunyuan", "solar-open", "grok-2"]],
  [
    rule(
      [`${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`],
      NFC,
    ),
    ["qwen35"],
  ],
  [
    rule([
      "[\\r\\n]",
      `\\s?[${BICAMERAL}]+`,
      "\\s?[!-/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3000-\\u3002]+",
      "\\s+$",
      IDEOGRAPHS_AND_MORE,
      "\\p{N}+",
    ]),
    ["deepseek-llm"],
  ],
  [rule(["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", IDEOGRAPHS_AND_MORE, "\\p{N}"]), ["deepseek-coder"]],
  [DEEPSEEK3, ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"]],
  [rule([casedWords("\\p{N}", "", "[\\r\\n/]*")], { ignoreMerges: true, addBos: true }), ["tekken"]],
  [O200K, ["gpt-4o", "llama4"]],
  [rule(O200K.patterns), ["minimax-m2"]],
  [rule([`\\p{Script=Han}+|${casedWords("\\p{N}{1,3}", `${CONTRACTION}?`, "[\\r\\n]*", NO_HAN)}`]), ["kimi-k2"]],
  [BAILING, ["bailingmoe", "bailingmoe2", "llada-moe"]],
  [rule([`${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`]), ["seed-coder"]],
  // Groups of three digits counted from the right: runs first, then what stands before whole groups, then the groups.
  // One pattern with a look-ahead over the rest would take time quadratic in the length of a number.
  [rule(["\\p{N}+", "\\A\\p{N}{1,2}(?=(?:\\p{N}{3})+\\z)", "\\p{N}{3}", UNSPACED_SCRIPTS, MARKED_WORDS]), ["afmoe"]],
];

const RULES: ReadonlyMap<string, SplitRule> = new Map(
  NAMES.flatMap(([splitRule, names]) => names.map((name) => [name, splitRule] as const)),
);

/** @throws UnsupportedError for a name whose rule is not known for certain. */
export function splitRule(name: unknown): SplitRule {
  const found = typeof name === "string" ? RULES.get(name) : undefined;
  if (found) return found;
  throw new UnsupportedError(
    `The file's vocabulary splits text by "${String(name).slice(0, 80)}"; supported: ${[...RULES.keys()].join(", ")}. ` +
      "Put the model's tokenizer.json beside the file",
  );
}

/** The rule's patterns as a pre-tokenizer of `tokenizer.json`, ending in GPT-2's alphabet for bytes. */
export function preTokenizerOf({ patterns }: SplitRule): JsonObject {
  const splits = patterns.map((pattern) => isolate(pattern));
  return { type: "Sequence", pretokenizers: [...splits, byteLevel(false)] };
}

/** A step of a pre-tokenizer that makes a piece of every match of `pattern`. */
export function isolate(pattern: string): JsonObject {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** GPT-2's alphabet: a printable character for every byte. With `words` it also splits as GPT-2 does. */
export function byteLevel(words: boolean): JsonObject {
  return { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: words };
}

export { GPT2_WORDS };
