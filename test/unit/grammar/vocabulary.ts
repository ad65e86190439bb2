/** The default model's vocabulary, a grammar engine over it, and seeded random logits drawn through the real sampler. */
import { readFileSync } from "node:fs";
import type { Session } from "../../../src/engine/session.ts";
import { generate } from "../../../src/generate/generate.ts";
import type { GenerateSettings } from "../../../src/generate/settings.ts";
import { GrammarEngine } from "../../../src/grammar/grammar-engine.ts";
import type { Constraint } from "../../../src/grammar/types.ts";
import { tokenBytes } from "../../../src/tokenizer/token-bytes.ts";
import { createTokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { createRandom } from "../../reference/compare.ts";

const path = new URL("../../../demo/public/models/octavo-tales/tokenizer.json", import.meta.url);
export const tokenizer = createTokenizer("tales", JSON.parse(readFileSync(path, "utf8")));
export const engine = await GrammarEngine.create(tokenBytes(tokenizer, tokenizer.vocabSize));

/** Ids with a quote: left to chance alone, a string over thousands of tokens hardly ever ends. */
const quotes = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) =>
  tokenizer.bytesOf(id)?.includes(0x22),
);
const logitBias = Object.fromEntries(quotes.map((id) => [id, 7]));

/** What a model of random logits writes under `constraint`, and why it ended. */
export async function written(constraint: Constraint, seed: number, settings: GenerateSettings = {}) {
  const tokens = [0];
  const random = createRandom(seed, true);
  const session = {
    contextLength: 1000,
    vocabSize: tokenizer.vocabSize,
    tokens,
    get length() {
      return tokens.length;
    },
    nextLogits: async () => Float32Array.from(random.randomInts(tokenizer.vocabSize, -4000, 4000), (n) => n / 1000),
    append: (id: number) => tokens.push(id),
  } as unknown as Session;
  const hold = (wanted: Constraint) => engine.hold(wanted);
  const all = { constraint, temperature: 1, seed, maxTokens: 400, logitBias, ...settings };
  const drawing = generate(session, all, [], () => undefined, hold);
  for (;;) {
    const { value, done } = await drawing.next();
    if (done) return { text: tokenizer.decode(tokens.slice(1)), reason: value, count: tokens.length - 1 };
  }
}

/** Whether `text`, token by token as the tokenizer cuts it, may be written and may end there. */
export async function allows(constraint: Constraint, text: string): Promise<boolean> {
  const held = await engine.hold(constraint);
  try {
    for (const id of tokenizer.encode(text, { addSpecial: false })) {
      const { mask } = await held.allowed();
      if (((mask[id >>> 5]! >>> (id & 31)) & 1) === 0) return false;
      held.accept(id);
    }
    return (await held.allowed()).mayEnd;
  } finally {
    held.dispose();
  }
}
