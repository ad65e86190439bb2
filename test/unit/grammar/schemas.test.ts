/** JSON schemas: 200 texts that seeded random logits write under 25 of them all hold, by a validator that shares no code. */
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { allows, engine, written } from "./vocabulary.ts";

const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { date: isDate, uuid: true, ipv4: true } });
type Schema = Readonly<Record<string, unknown>>;

function isDate(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text) && new Date(text).toISOString().startsWith(text);
}

const name = { type: "string", maxLength: 8 };
const SCHEMAS: Readonly<Record<string, Schema>> = {
  "flags and a name": { type: "object", properties: { on: { type: "boolean" }, name }, required: ["on"] },
  nested: {
    type: "object",
    properties: {
      a: { type: "object", properties: { b: { type: "array", items: name, maxItems: 2 } }, required: ["b"] },
    },
    required: ["a"],
  },
  "all optional": { type: "object", properties: { x: { type: "null" }, y: { type: "boolean" }, z: name } },
  "required out of order": { type: "object", properties: { x: name, y: { const: 1 } }, required: ["y", "x"] },
  enums: { type: "array", items: { enum: ["é", '\n"\\x', "日本", null, 1.5, { a: [] }] }, minItems: 1, maxItems: 3 },
  "enum by type": { enum: ["one", 2, null], type: ["string", "null"] },
  "bounded strings": { type: "array", items: { type: "string", minLength: 2, maxLength: 5 }, minItems: 3, maxItems: 3 },
  integers: { type: "array", items: { type: "integer", minimum: -12, maximum: 305 }, minItems: 4, maxItems: 4 },
  "integers above": { type: "integer", exclusiveMinimum: 99 },
  "integers below": { type: "integer", exclusiveMaximum: -7 },
  numbers: {
    type: "array",
    items: { type: "number", minimum: -1.5, exclusiveMaximum: 12.25 },
    minItems: 4,
    maxItems: 4,
  },
  "a narrow number": { type: "number", exclusiveMinimum: 0.1, maximum: 0.125 },
  "any number": { type: "array", items: { type: "number" }, minItems: 2, maxItems: 4 },
  "any string": { type: "string" },
  tuple: { type: "array", prefixItems: [{ type: "boolean" }, name, { type: "integer" }], minItems: 1 },
  "tuple and more": {
    type: "array",
    prefixItems: [{ type: "boolean" }],
    items: { type: "null" },
    minItems: 2,
    maxItems: 4,
  },
  "one of types": { type: ["integer", "null", "boolean"] },
  anyOf: { anyOf: [name, { type: "array", items: { type: "boolean" }, maxItems: 2 }, { type: "null" }] },
  "anyOf beside": {
    type: "object",
    properties: { a: { type: "boolean" }, b: { type: "null" } },
    anyOf: [{ required: ["a"] }, { required: ["b"] }],
  },
  "oneOf apart": {
    oneOf: [
      {
        type: "object",
        properties: { kind: { const: "cat" }, lives: { type: "integer" } },
        required: ["kind", "lives"],
      },
      { type: "object", properties: { kind: { const: "dog" }, name }, required: ["kind"] },
      { type: "null" },
    ],
  },
  allOf: {
    $defs: { named: { type: "object", properties: { name }, required: ["name"] } },
    allOf: [
      { $ref: "#/$defs/named" },
      { properties: { age: { type: "integer", minimum: 0, maximum: 9 } }, required: ["age"] },
    ],
  },
  "a list by reference": {
    $defs: {
      node: { type: "object", properties: { next: { $ref: "#/$defs/node" }, v: { type: "boolean" } }, required: ["v"] },
    },
    $ref: "#/$defs/node",
  },
  pattern: { type: "string", pattern: '^[^\\s"a]{1,4}.\\\\?(?:x|y{2})$' },
  formats: { type: "array", prefixItems: [{ format: "date" }, { format: "uuid" }, { format: "ipv4" }], minItems: 3 },
  "open objects": {
    type: "object",
    properties: { on: { type: "boolean" }, one: { type: "null" } },
    required: ["on"],
    additionalProperties: { type: "integer", minimum: 0, maximum: 3 },
  },
};

/** What takes more than plain grammar: steps, long strings, names by pattern, what is ruled out, items that differ. */
const MORE: Readonly<Record<string, Schema>> = {
  "multiples of 7": { type: "array", items: { type: "integer", multipleOf: 7 }, minItems: 4, maxItems: 4 },
  "multiples within bounds": {
    type: "array",
    items: { type: "number", multipleOf: 12, minimum: -250, exclusiveMaximum: 5000 },
    minItems: 4,
    maxItems: 4,
  },
  "multiples of round numbers": {
    type: "array",
    prefixItems: [
      { type: "integer", multipleOf: 250, minimum: 1 },
      { type: "integer", multipleOf: 86400, minimum: 0, maximum: 864000 },
      { allOf: [{ type: "integer", multipleOf: 4 }, { multipleOf: 6 }] },
      { type: "integer", multipleOf: 97, maximum: -98 },
    ],
    minItems: 4,
  },
  "long strings": {
    type: "array",
    prefixItems: [
      { type: "string", minLength: 128, maxLength: 130 },
      { type: "string", minLength: 65 },
    ],
    minItems: 2,
  },
  "names by pattern": {
    type: "object",
    patternProperties: { "^n_[a-z]{1,4}$": { type: "integer", minimum: 0, maximum: 9 }, "^s": { type: "boolean" } },
    additionalProperties: false,
  },
  "names by pattern beside others": {
    type: "object",
    properties: { id: { type: "integer" }, x_fixed: true },
    patternProperties: { "^x[_-]": { type: "null" }, "^(?:y|yy)z$": { type: "null" } },
    required: ["id", "x_fixed"],
    additionalProperties: false,
  },
  "listed, but for some": { enum: ["a", "b", 1, null, { x: 1 }], not: { enum: ["b", { x: 1 }, 2] } },
  "strings but for some": {
    type: "array",
    items: { type: "string", not: { enum: ["", "a", "ab", 'q"', "é"] } },
    minItems: 3,
    maxItems: 3,
  },
  "numbers but for some": {
    type: "array",
    prefixItems: [
      { type: "integer", minimum: -1, maximum: 2, not: { enum: [0, 2] } },
      { type: "number", minimum: 0, maximum: 0.5, allOf: [{ not: { const: 0.25 } }, { not: { const: 0 } }] },
      { type: "integer", multipleOf: 3, minimum: 0, maximum: 9, not: { const: 6 } },
    ],
    minItems: 3,
  },
  "not of a type, nor with a name": {
    type: "array",
    prefixItems: [
      { type: ["string", "null", "boolean"], not: { type: "string" } },
      { type: "boolean", not: { const: true } },
      { type: "object", properties: { a: { type: "null" }, b: { type: "null" } }, not: { required: ["a"] } },
      {
        type: ["array", "null"],
        items: { type: "null" },
        maxItems: 2,
        not: { anyOf: [{ const: null }, { type: "number" }] },
      },
    ],
    minItems: 4,
  },
  "different items": {
    type: "array",
    prefixItems: [
      { type: "array", items: { enum: ["a", "b", 1, { x: 1, y: 2 }, { y: 2, x: 1 }] }, uniqueItems: true },
      { type: "array", items: { type: ["boolean", "null"] }, uniqueItems: true, minItems: 3 },
      {
        type: "array",
        items: { type: "integer", minimum: 3, maximum: 20 },
        uniqueItems: true,
        minItems: 2,
        maxItems: 3,
      },
    ],
    minItems: 3,
  },
};

const counts = { written: 0, tokens: 0 };
const distinct = new Set<string>();
afterAll(() => {
  expect(counts.written).toBe(200);
  expect(distinct.size).toBeGreaterThan(120);
});

describe("200 texts of random logits hold to their schemas", () => {
  test.each(Object.entries(SCHEMAS))(
    "%s",
    async (_, schema) => {
      const validate = ajv.compile(schema);
      for (let seed = 0; seed < 8; seed++) {
        const { text, reason, count } = await written({ type: "json_schema", schema }, seed);
        expect(reason, text).toBe("stop");
        expect(validate(JSON.parse(text)), `${text}: ${ajv.errorsText(validate.errors)}`).toBe(true);
        expect(text).not.toMatch(/[\p{Surrogate}\ufffd]/u);
        distinct.add(text);
        counts.written += 1;
        counts.tokens += count;
      }
    },
    60_000,
  );
});

describe("so do those of random logits under what takes more", () => {
  test.each(Object.entries(MORE))(
    "%s",
    async (_, schema) => {
      const validate = ajv.compile(schema);
      const texts = new Set<string>();
      for (let seed = 0; seed < 5; seed++) {
        const { text, reason } = await written({ type: "json_schema", schema }, seed);
        expect(reason, text).toBe("stop");
        expect(validate(JSON.parse(text)), `${text}: ${ajv.errorsText(validate.errors)}`).toBe(true);
        texts.add(text);
      }
      expect(texts.size).toBeGreaterThan(1);
    },
    60_000,
  );
});

test("what is compact stays on one line", async () => {
  const held = { type: "json_schema", schema: SCHEMAS.nested!, compact: true } as const;
  for (const text of ['{"a":{"b":["x"]}}', '{ "a": { "b": [] } }']) expect(await allows(held, text), text).toBe(true);
  expect(await allows(held, '{\n  "a": {\n    "b": []\n  }\n}')).toBe(false);
});

describe("texts that a schema allows, and those that it does not", () => {
  const cases: [string, unknown, readonly string[], readonly string[]][] = [
    [
      "white space",
      SCHEMAS.nested,
      ['{"a":{"b":["x"]}}', '{ "a": { "b": [] } }', '{\n  "a": {\n    "b": []\n  }\n}'],
      ['{  "a":{"b":[]}}', '{"a" :{"b":[]}}'],
    ],
    [
      "closed objects",
      SCHEMAS["all optional"],
      ["{}", '{"x":null,"z":"a"}', '{"y":true}'],
      ['{"q":1}', '{"z":"a","x":null}', '{"x":1}'],
    ],
    [
      "escapes",
      { type: "string" },
      ['"a\\"b"', '"\\u00e9"', '"\\ud83d\\ude00"', '"😀"', '""'],
      ['"\\x"', '"\\ud83d"', '"a\nb"', '"a'],
    ],
    ["lengths", { type: "string", minLength: 2, maxLength: 3 }, ['"ab"', '"日本語"', '"\\n\\""'], ['"a"', '"abcd"']],
    [
      "keys besides",
      SCHEMAS["open objects"],
      ['{"on":true,"onx":1}', '{"on":true,"o":0}', '{"on":true,"one":null,"n":2}'],
      ['{"on":true,"on":1}', '{"on":true,"one":1}', '{"o":1}'],
    ],
    ["bounds", { type: "integer", minimum: -3, maximum: 12 }, ["-3", "0", "12", "9"], ["-4", "13", "-0", "01", "1.0"]],
    [
      "decimals",
      { type: "number", minimum: 0, exclusiveMaximum: 1 },
      ["0", "0.5", "0.999999"],
      ["1", "1.0", "-0.1", "0.9999999", "00.5"],
    ],
    [
      "steps",
      { type: "integer", multipleOf: 12, minimum: -24, maximum: 100_000 },
      ["0", "-12", "-24", "12", "1200", "99996"],
      ["6", "-36", "100008", "012", "-0", "99990"],
    ],
    [
      "round steps",
      { type: "integer", multipleOf: 500, maximum: 2000 },
      ["0", "500", "2000", "-12345678901500"],
      ["2500", "250", "00", "-1234567890150"],
    ],
    [
      "long lengths",
      { type: "string", minLength: 70, maxLength: 150 },
      [70, 128, 150].map((length) => JSON.stringify('é"'.repeat(75).slice(0, length))),
      [69, 151].map((length) => JSON.stringify("ab".repeat(99).slice(0, length))),
    ],
    [
      "names by pattern",
      {
        properties: { id: { type: "integer" }, x_fixed: true },
        patternProperties: { "x[_-]": { type: "null" }, "^(?:y|yy)z$": { type: "null" } },
        required: ["id", "x_fixed"],
        additionalProperties: false,
      },
      ['{"id":1,"x_fixed":null}', '{"id":1,"x_fixed":null,"my x-1":null,"yyz":null}'],
      ['{"id":1,"x_fixed":1}', '{"id":1,"x_fixed":null,"x":null}', '{"id":1,"x_fixed":null,"ayz":null}'],
    ],
    [
      "all but some",
      { type: "string", not: { enum: ["", "ab", "\n"] } },
      ['"a"', '"abc"', '"\\n\\n"', '"\\t"', '"b\\u0041"'],
      ['""', '"ab"', '"\\n"', '"\\u0061b"'],
    ],
    [
      "items that differ",
      { type: "array", items: { enum: [1, 2, "x"] }, uniqueItems: true },
      ["[]", '[2, "x"]', '["x",1,2]'],
      ["[1,1]", '["x",1,2,1]', "[3]"],
    ],
    ["true", true, ['{"a":[1,{"b":null}]}', "-1.5e10", '"x"'], ["[1,]", "{a:1}", "tru"]],
  ];
  test.each(cases)(
    "%s",
    async (_, schema, good, bad) => {
      const constraint = { type: "json_schema", schema: schema as Schema } as const;
      for (const text of good) expect(await allows(constraint, text), text).toBe(true);
      for (const text of bad) expect(await allows(constraint, text), text).toBe(false);
    },
    60_000,
  );

  test("json_object is any object, and nothing else", async () => {
    for (const text of ["{}", '{"a": [1, "b", {"c": null}], "d": 1e5}'])
      expect(await allows({ type: "json_object" }, text)).toBe(true);
    for (const text of ["[]", "1", "{", '{"a"}']) expect(await allows({ type: "json_object" }, text)).toBe(false);
  });
});

describe("refuses by name", () => {
  const bad: [unknown, RegExp][] = [
    [{ type: "objekt" }, /at #: "type" is "objekt"; expected one of object, array/],
    [{ properties: { a: { not: { minimum: 3 } } } }, /at #\.a\.not: "not" is supported for "enum".*Say what is wanted/],
    [{ not: { not: { const: 1 } } }, /"not" is supported for/],
    [{ type: "number", not: { type: "integer" } }, /rules out integers and lets other numbers be/],
    [{ type: "string", pattern: "a+", not: { const: "aa" } }, /"not" rules out "aa", which the pattern allows/],
    [{ type: "string", maxLength: 3, not: { const: "aa" } }, /rules out "aa" beside a length/],
    [{ type: "array", not: { const: [] } }, /objects and arrays are not supported there/],
    [{ not: {} }, /nothing can hold to it/],
    [{ type: "array", uniqueItems: true }, /at #\.items: "uniqueItems" is supported where the items are listed/],
    [{ items: { enum: Array.from({ length: 20 }, (_, i) => i) }, uniqueItems: true }, /20 items.*Lower "maxItems"/],
    [{ prefixItems: [{}], uniqueItems: true }, /"uniqueItems" beside "prefixItems"/],
    [{ type: "number", multipleOf: 0.5 }, /"multipleOf" is 0\.5; whole numbers.*integer of the smaller unit/],
    [{ type: "integer", multipleOf: 0 }, /"multipleOf" is 0/],
    [{ type: "integer", multipleOf: 1009 }, /"multipleOf" of 1009 leaves too many remainders.*up to 128/],
    [{ patternProperties: { a: {} }, additionalProperties: {} }, /"additionalProperties": false only/],
    [{ patternProperties: { "(": {} } }, /The pattern "\(" is not one of ECMAScript/],
    [{ patternProperties: { "^a": { type: "null" }, b: {} } }, /might match both "\^a" and "b"/],
    [
      { properties: { ab: { type: "null" } }, patternProperties: { "^a": {} } },
      /"ab" has a schema of its own and matches/,
    ],
    [
      { allOf: [{ properties: { a: {} }, additionalProperties: false }, { patternProperties: { b: {} } }] },
      /rules out the/,
    ],
    [{ propertyNames: { pattern: "a" } }, /"propertyNames" is not supported. Leave it out/],
    [{ $ref: "#/$defs/none" }, /names #\/\$defs\/none, which is not there/],
    [{ $ref: "other.json" }, /expected a "\$ref" inside the schema/],
    [{ $defs: { a: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" }, /leads back to itself/],
    [{ allOf: [{ $ref: "#" }] }, /at most \d+ levels/],
    [{ oneOf: [{ type: "number" }, { type: "integer" }] }, /"oneOf" has branches that might hold together/],
    [{ type: "string", pattern: "(" }, /The pattern "\(" is not one of ECMAScript/],
    [{ type: "string", pattern: "(?=a)b" }, /cannot look around/],
    [{ type: "string", pattern: "a", maxLength: 3 }, /"pattern" or "format" beside a length/],
    [{ type: "string", maxLength: 100_000 }, /"maxLength" is 100000; expected a whole number from 0 to/],
    [{ type: "string", minLength: -1 }, /"minLength" is -1/],
    [{ type: "integer", minimum: 3, maximum: 2 }, /nothing can hold to it/],
    [{ enum: [] }, /nothing can hold to it/],
    [{ enum: "a" }, /"enum" is "a"; expected a list/],
    [false, /nothing can hold to it/],
    [{ type: "object", properties: { a: [] } }, /at #\.a: expected a schema/],
    [{ type: "object", required: "a" }, /"required" must be a list of names/],
    [{ items: [{}] }, /write it as "prefixItems"/],
    [{ minimum: "1" }, /"minimum" is "1"; expected a number/],
  ];
  test.each(bad)("%j", async (schema, says) => {
    const holding = engine.hold({ type: "json_schema", schema: schema as Schema });
    await expect(holding).rejects.toThrow(UsageError);
    await expect(engine.hold({ type: "json_schema", schema: schema as Schema })).rejects.toThrow(says);
    expect(engine.aborted).toBe(false);
  });
});
