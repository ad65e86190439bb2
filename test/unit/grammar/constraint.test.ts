import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { GrammarEngine } from "../../../src/grammar/grammar-engine.ts";
import { tokenBytes } from "../../../src/tokenizer/token-bytes.ts";
import { createTokenizer } from "../../../src/tokenizer/tokenizer.ts";

const path = new URL("../../../demo/public/models/octavo-tales/tokenizer.json", import.meta.url);
const tokenizer = createTokenizer("tales", JSON.parse(readFileSync(path, "utf8")));

const SCHEMAS: unknown[] = [
  { type: "object", properties: { a: { type: "boolean" }, b: { type: "string", maxLength: 4 } }, required: ["a"] },
  { type: "number", minimum: -1.5, exclusiveMaximum: 12.25 },
  { type: "array", items: { enum: ["é", '\n"x', null, 1.5, { a: [] }] }, minItems: 1, maxItems: 3 },
  { type: "string", pattern: '^[^\\s"a]{1,4}.\\\\?$' },
];

test.each(SCHEMAS)("%j", async (schema) => {
  let t = performance.now();
  const engine = await GrammarEngine.create(tokenBytes(tokenizer, tokenizer.vocabSize));
  console.log("create", performance.now() - t);
  t = performance.now();
  const held = await engine.hold({ type: "json_schema", schema: schema as boolean });
  console.log("hold", performance.now() - t);
  for (let run = 0; run < 5; run++) {
    const one = await engine.hold({ type: "json_schema", schema: schema as boolean });
    const ids: number[] = [];
    t = performance.now();
    for (;;) {
      const { mask, mayEnd, mustEnd } = await one.allowed();
      if (mustEnd || (mayEnd && Math.random() < 0.2) || ids.length > 200) break;
      const ok = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter(
        (id) => ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1,
      );
      const id = ok[Math.floor(Math.random() * ok.length)]!;
      ids.push(id);
      one.accept(id);
    }
    const text = tokenizer.decode(ids);
    console.log((performance.now() - t) / ids.length, text);
    expect(new Ajv2020().validate(schema as object, JSON.parse(text))).toBe(true);
  }
  held.dispose();
});
