/**
 * A JSON schema as a grammar. Every text of the grammar holds to the schema; not every JSON that does is a text of it:
 * properties come in the order of the schema, those that it does not name come only where `additionalProperties` says
 * so, numbers have few digits, and `pattern` and `format` are the whole of a string. What a grammar cannot follow is
 * refused by its name; `format`s other than those of `FORMATS` are notes, as the standard has it.
 */

import { show } from "../util/show.ts";
import { either, literal, type Rules } from "./ebnf.ts";
import {
  anyInteger,
  anyNumber,
  anyObject,
  anyString,
  anyValue,
  boundedString,
  charInString,
  quoted,
} from "./json-grammar.ts";
import { boundedNumber } from "./number-grammar.ts";
import { regexGrammar } from "./regex-grammar.ts";
import { disjoint } from "./schema-disjoint.ts";
import { arrayGrammar, type Converter, objectGrammar } from "./schema-lists.ts";
import {
  assertions,
  contains,
  fail,
  flat,
  isOfType,
  merged,
  type Schema,
  type SchemaNode,
  schemaAt,
  type TypeName,
  typesOf,
} from "./schema-nodes.ts";

const DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))";
const CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const FORMATS: Readonly<Record<string, string>> = {
  date: `[0-9]{4}-${DAY}`,
  time: CLOCK,
  "date-time": `[0-9]{4}-${DAY}T${CLOCK}`,
  uuid: "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
  ipv4: `${BYTE}(\\.${BYTE}){3}`,
  email: "[a-z0-9]+([._-][a-z0-9]+){0,4}@[a-z0-9]+(-[a-z0-9]+){0,4}(\\.[a-z0-9]+){0,3}\\.[a-z]{2,12}",
};
/** Repetitions are written out. */
const MAX_COUNT = 4096;
/** A bound on a string's length costs about 70 ms a character to compile over 200,000 tokens. */
const MAX_LENGTH = 64;
/** What tells the type of a schema that does not name it. */
const TELLING: readonly [TypeName, readonly string[]][] = [
  ["object", ["properties", "required", "additionalProperties"]],
  ["array", ["items", "prefixItems", "minItems", "maxItems"]],
  ["string", ["minLength", "maxLength", "pattern", "format"]],
  ["number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]],
];

/** @returns the grammar of `schema`. @throws UsageError naming the place and what is wrong with it or not supported. */
export function schemaGrammar(rules: Rules, schema: unknown): string {
  const root = schemaAt(schema, "#");
  const grammar = new SchemaConverter(rules, root).value(root, "#");
  return grammar ?? fail("#", "nothing can hold to it.");
}

/** Nodes within nodes, references followed. */
const MAX_NODES_DEEP = 256;

class SchemaConverter implements Converter {
  readonly rules: Rules;
  readonly root: Schema;
  #depth = 0;

  constructor(rules: Rules, root: Schema) {
    this.rules = rules;
    this.root = root;
  }

  /** `undefined` where nothing holds. */
  value(schema: Schema, path: string): string | undefined {
    if (this.#depth > MAX_NODES_DEEP)
      return fail(path, `expected at most ${MAX_NODES_DEEP} levels, references followed.`);
    this.#depth += 1;
    try {
      return this.#value(schema, path);
    } finally {
      this.#depth -= 1;
    }
  }

  #value(schema: Schema, path: string): string | undefined {
    if (typeof schema === "boolean") return schema ? anyValue(this.rules) : undefined;
    const said = assertions(schema);
    const { $ref, ...rest } = said;
    if ($ref === undefined) return this.#node(said, path);
    flat(this.root, schema, path); // a reference that only comes back to itself
    if (Object.keys(rest).length > 0) return this.value(flat(this.root, schema, path), path);
    const target = flat(this.root, schema, path);
    return this.rules.rule(
      `ref ${show($ref)}`,
      () => this.value(target, String($ref)) ?? fail(path, "nothing can hold to it."),
    );
  }

  #node(node: SchemaNode, path: string): string | undefined {
    const { allOf, anyOf, oneOf, ...rest } = node;
    if (allOf !== undefined) {
      const { allOf: _, ...other } = node;
      const parts = this.#list(allOf, `${path}.allOf`);
      return this.value(
        parts.reduce<Schema>((all, part) => merged(this.root, all, part, path), other),
        path,
      );
    }
    if (anyOf !== undefined || oneOf !== undefined) {
      const keyword = anyOf === undefined ? "oneOf" : "anyOf";
      const { [keyword]: _, ...other } = node;
      const branches = this.#list(node[keyword], `${path}.${keyword}`);
      if (keyword === "oneOf") this.#checkApart(branches, path);
      const options = branches.map((branch, at) =>
        this.value(
          Object.keys(other).length > 0 ? merged(this.root, other, branch, path) : branch,
          `${path}.${keyword}.${at}`,
        ),
      );
      const possible = options.filter((option) => option !== undefined);
      return possible.length === 0 ? undefined : either([...new Set(possible)]);
    }
    if ("const" in rest || "enum" in rest) return this.#listed(rest, path);
    return this.#typed(rest, path);
  }

  #list(value: unknown, path: string): Schema[] {
    if (!Array.isArray(value) || value.length === 0)
      return fail(path, `expected a list of schemas, got ${show(value)}.`);
    return value.map((item, at) => schemaAt(item, `${path}.${at}`));
  }

  #checkApart(branches: readonly Schema[], path: string): void {
    const flats = branches.map((branch) => flat(this.root, branch, path));
    for (const [at, one] of flats.entries()) {
      for (const other of flats.slice(at + 1)) {
        if (!disjoint(this.root, one, other)) fail(path, '"oneOf" has branches that might hold together. Use "anyOf".');
      }
    }
  }

  #listed(node: SchemaNode, path: string): string | undefined {
    const { enum: listed, const: only, type, ...rest } = node;
    const other = Object.keys(rest)[0];
    if (other !== undefined)
      fail(path, `"${other}" beside "enum" or "const" is not supported. List what holds to both.`);
    if (listed !== undefined && !Array.isArray(listed)) fail(path, `"enum" is ${show(listed)}; expected a list.`);
    const values: unknown[] = "const" in node ? [only] : (listed as unknown[]);
    const both = "const" in node && Array.isArray(listed) ? values.filter((value) => contains(listed, value)) : values;
    const fitting = type === undefined ? both : both.filter((value) => isOfType(value, typesOf(type, path)));
    if (fitting.length === 0) return undefined;
    return either(fitting.map((value) => literal(JSON.stringify(value))));
  }

  #typed(node: SchemaNode, path: string): string | undefined {
    const told = TELLING.filter(([, keywords]) => keywords.some((keyword) => keyword in node)).map(([type]) => type);
    const types = node.type === undefined ? told : typesOf(node.type, path);
    if (node.type === undefined && types.length === 0) return anyValue(this.rules);
    const options = types.map((type) => this.#ofType(type, node, path)).filter((option) => option !== undefined);
    return options.length === 0 ? undefined : either([...new Set(options)]);
  }

  #ofType(type: TypeName, node: SchemaNode, path: string): string | undefined {
    switch (type) {
      case "object":
        return this.#isPlain("object", node) ? anyObject(this.rules) : objectGrammar(this, node, path);
      case "array":
        return arrayGrammar(this, node, path);
      case "string":
        return this.#string(node, path);
      case "integer":
      case "number":
        return this.#number(type, node, path);
      case "boolean":
        return '("true" | "false")';
      case "null":
        return '"null"';
    }
  }

  #isPlain(type: TypeName, node: SchemaNode): boolean {
    return !TELLING.some(([name, keywords]) => name === type && keywords.some((keyword) => keyword in node));
  }

  #string(node: SchemaNode, path: string): string | undefined {
    const { pattern } = node;
    const least = this.count(node, "minLength", path) ?? 0;
    const most = this.count(node, "maxLength", path) ?? Number.POSITIVE_INFINITY;
    const format = FORMATS[String(node.format)];
    const shape = pattern ?? format;
    if (shape === undefined) {
      if (least > most) return undefined;
      if (least === 0 && most === Number.POSITIVE_INFINITY) return anyString(this.rules);
      if (least > MAX_LENGTH || (most > MAX_LENGTH && most !== Number.POSITIVE_INFINITY)) {
        fail(
          path,
          `lengths of strings up to ${MAX_LENGTH} are supported. Leave it out, and check the result yourself.`,
        );
      }
      return boundedString(this.rules, least, most);
    }
    if (typeof shape !== "string") return fail(path, `"pattern" is ${show(pattern)}; expected a text.`);
    if ("minLength" in node || "maxLength" in node || (pattern !== undefined && format !== undefined)) {
      fail(
        path,
        '"pattern" or "format" beside a length or each other is not supported. Say the length in the pattern.',
      );
    }
    return quoted(regexGrammar(shape, (set) => charInString(this.rules, set)));
  }

  #number(type: "integer" | "number", node: SchemaNode, path: string): string | undefined {
    const [minimum, maximum] = [this.#bound(node, "minimum", path), this.#bound(node, "maximum", path)];
    const above = this.#bound(node, "exclusiveMinimum", path);
    const below = this.#bound(node, "exclusiveMaximum", path);
    if ([minimum, maximum, above, below].every((bound) => bound === undefined)) {
      return type === "integer" ? anyInteger(this.rules) : anyNumber(this.rules);
    }
    const aboveLeast = above !== undefined && (minimum === undefined || above >= minimum);
    const belowMost = below !== undefined && (maximum === undefined || below <= maximum);
    const bounds = { least: aboveLeast ? above : minimum, most: belowMost ? below : maximum, aboveLeast, belowMost };
    return boundedNumber(bounds, type);
  }

  #bound(node: SchemaNode, key: string, path: string): number | undefined {
    const value = node[key];
    if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value;
    return fail(path, `"${key}" is ${show(value)}; expected a number.`);
  }

  /** A bound on lengths and counts. */
  count(node: SchemaNode, key: string, path: string): number | undefined {
    const value = node[key];
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT) return value;
    return fail(path, `"${key}" is ${show(value)}; expected a whole number from 0 to ${MAX_COUNT}.`);
  }
}
