/**
 * A JSON schema as a grammar. Every text of the grammar holds to the schema; not every JSON that does is a text of it:
 * properties come in the order of the schema, those that it does not name come only where `additionalProperties` says
 * so, numbers have few digits, and `pattern` and `format` are the whole of a string. What a grammar cannot follow is
 * refused by its name; `format`s other than those of `FORMATS` are notes, as the standard has it.
 */

import { show } from "../util/show.ts";
import { either, literal, type Rules } from "./ebnf.ts";
import { anyObject, anyValue } from "./json-grammar.ts";
import type { Converter } from "./schema-converter.ts";
import { disjoint } from "./schema-disjoint.ts";
import { arrayGrammar, objectGrammar } from "./schema-lists.ts";
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
  TYPES,
  type TypeName,
  typesOf,
} from "./schema-nodes.ts";
import { ruledOut } from "./schema-not.ts";
import { numberGrammar, stringGrammar } from "./schema-scalars.ts";

/** Repetitions are written out. */
const MAX_COUNT = 4096;
/** What tells the type of a schema that does not name it. */
const TELLING: readonly [TypeName, readonly string[]][] = [
  ["object", ["properties", "required", "additionalProperties", "patternProperties"]],
  ["array", ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]],
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
    if ("not" in rest) return this.#without(rest, path);
    return this.#leaf(rest, [], path);
  }

  /** What holds to the rest of `node` and not to its "not". */
  #without({ not, ...rest }: SchemaNode, path: string): string | undefined {
    const out = ruledOut(this.root, not, `${path}.not`);
    if (out === "everything") return undefined;
    const properties = { ...(rest.properties as SchemaNode | undefined) };
    for (const name of out.properties) properties[name] = false;
    const open = rest.properties === undefined && rest.patternProperties === undefined;
    const besides = open ? { additionalProperties: true } : {};
    const node = out.properties.length > 0 ? { ...besides, ...rest, properties } : rest;
    if (out.types.length === 0) return this.#leaf(node, out.values, path);
    const types = this.#types(node, path) ?? TYPES.filter((type) => type !== "integer");
    if (out.types.includes("integer") && !out.types.includes("number") && types.includes("number")) {
      fail(
        path,
        '"not" rules out integers and lets other numbers be, which is not supported. Say what is wanted instead.',
      );
    }
    const left = types.filter(
      (type) => !out.types.includes(type === "integer" ? "number" : type) && !out.types.includes(type),
    );
    return left.length === 0 ? undefined : this.#leaf({ ...node, type: left }, out.values, path);
  }

  /** A node without parts; `except` does not hold, whatever it says. */
  #leaf(node: SchemaNode, except: readonly unknown[], path: string): string | undefined {
    if ("const" in node || "enum" in node) return this.#listed(node, except, path);
    return this.#typed(node, except, path);
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

  #listed(node: SchemaNode, except: readonly unknown[], path: string): string | undefined {
    const { enum: listed, const: only, type, ...rest } = node;
    const other = Object.keys(rest)[0];
    if (other !== undefined)
      fail(path, `"${other}" beside "enum" or "const" is not supported. List what holds to both.`);
    if (listed !== undefined && !Array.isArray(listed)) fail(path, `"enum" is ${show(listed)}; expected a list.`);
    const values: unknown[] = "const" in node ? [only] : (listed as unknown[]);
    const both = "const" in node && Array.isArray(listed) ? values.filter((value) => contains(listed, value)) : values;
    const typed = type === undefined ? both : both.filter((value) => isOfType(value, typesOf(type, path)));
    const fitting = typed.filter((value) => !contains(except, value));
    if (fitting.length === 0) return undefined;
    return either(fitting.map((value) => literal(JSON.stringify(value))));
  }

  /** The types that `node` names or tells; `undefined` where it does neither. */
  #types(node: SchemaNode, path: string): readonly TypeName[] | undefined {
    if (node.type !== undefined) return typesOf(node.type, path);
    const told = TELLING.filter(([, keywords]) => keywords.some((keyword) => keyword in node)).map(([type]) => type);
    return told.length === 0 ? undefined : told;
  }

  #typed(node: SchemaNode, except: readonly unknown[], path: string): string | undefined {
    const types = this.#types(node, path);
    if (!types && except.length === 0) return anyValue(this.rules);
    const options = (types ?? TYPES.filter((type) => type !== "integer")).map((type) => {
      const ofType = except.filter((value) => isOfType(value, [type]));
      return this.#ofType(type, node, ofType, path);
    });
    const possible = options.filter((option) => option !== undefined);
    return possible.length === 0 ? undefined : either([...new Set(possible)]);
  }

  #ofType(type: TypeName, node: SchemaNode, except: readonly unknown[], path: string): string | undefined {
    if (except.length > 0 && (type === "object" || type === "array")) {
      fail(
        path,
        `"not" rules out ${show(except[0])}: objects and arrays are not supported there. Leave it out, and check the result yourself.`,
      );
    }
    switch (type) {
      case "object":
        return this.#isPlain("object", node) ? anyObject(this.rules) : objectGrammar(this, node, path);
      case "array":
        return arrayGrammar(this, node, path);
      case "string":
        return stringGrammar(this, node, except as string[], path);
      case "integer":
      case "number":
        return numberGrammar(this.rules, type, node, except as number[], path);
      case "boolean": {
        const words = [true, false].filter((value) => !except.includes(value));
        return words.length === 0 ? undefined : either(words.map((word) => `"${word}"`));
      }
      case "null":
        return except.length > 0 ? undefined : '"null"';
    }
  }

  #isPlain(type: TypeName, node: SchemaNode): boolean {
    return !TELLING.some(([name, keywords]) => name === type && keywords.some((keyword) => keyword in node));
  }

  /** A bound on lengths and counts. */
  count(node: SchemaNode, key: string, path: string): number | undefined {
    const value = node[key];
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT) return value;
    return fail(
      path,
      `"${key}" is ${show(value)}; expected a whole number from 0 to ${MAX_COUNT}. Leave a larger one out, and check the result yourself.`,
    );
  }
}
