/**
 * "patternProperties": members whose names match patterns, anywhere in the name unless the pattern says where. Objects with
 * them have no other members than these and the named ones. A name must hold to every schema whose pattern it matches, and a
 * grammar writes it along one: so patterns with different schemas must begin differently, and not match named properties.
 */
import { show } from "../util/show.ts";
import { common } from "./char-set.ts";
import { either } from "./ebnf.ts";
import { charInString, inAnyString, pair, quoted } from "./json-grammar.ts";
import { beginningOf, regexGrammar } from "./regex-grammar.ts";
import type { Converter } from "./schema-converter.ts";
import { fail, merged, type Schema, type SchemaNode, sameJson, schemaAt } from "./schema-nodes.ts";

interface Pattern {
  readonly text: string;
  readonly schema: Schema;
}

export class PatternProperties {
  readonly #to: Converter;
  readonly #path: string;
  readonly #patterns: readonly Pattern[];

  /** @throws UsageError for patterns that cannot be followed, or not together. */
  constructor(to: Converter, { patternProperties = {}, additionalProperties }: SchemaNode, path: string) {
    if (typeof patternProperties !== "object" || patternProperties === null || Array.isArray(patternProperties)) {
      fail(path, `"patternProperties" is ${show(patternProperties)}; expected an object of schemas.`);
    }
    this.#to = to;
    this.#path = path;
    this.#patterns = Object.entries(patternProperties).map(([text, schema]) => ({
      text,
      schema: schemaAt(schema, `${path}.${text}`),
    }));
    if (this.isEmpty) return;
    if (additionalProperties !== undefined && additionalProperties !== false) {
      fail(path, '"patternProperties" is supported with "additionalProperties": false only. Close the object.');
    }
    for (const { text } of this.#patterns) beginningOf(text); // what is no pattern is said before it is tried
    for (const [at, one] of this.#patterns.entries()) {
      for (const other of this.#patterns.slice(at + 1)) this.#checkApart(one, other);
    }
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /**
   * What the member `name`, whose own schema is `own`, must hold to beside it; `undefined` where no pattern matches.
   * @throws UsageError for a member that a pattern would let come with less than its own schema.
   */
  schemaOf(name: string, own: Schema | undefined): Schema | undefined {
    const matching = this.#patterns.filter(({ text }) => new RegExp(text, "u").test(name));
    const [first] = matching;
    if (!first) return undefined;
    if (own !== undefined && own !== true && matching.some(({ schema }) => !sameJson(schema, own))) {
      fail(
        this.#path,
        `the property ${show(name)} has a schema of its own and matches the pattern ${show(first.text)}. Say the pattern so ` +
          "that it does not match.",
      );
    }
    const { root } = this.#to;
    return matching.reduce<Schema>((both, { schema }) => merged(root, both, schema, this.#path), true);
  }

  /** A member along one of the patterns; `undefined` where none may come. */
  member(): string | undefined {
    const { rules } = this.#to;
    const options = this.#patterns.flatMap(({ text, schema }) => {
      const value = this.#to.value(schema, `${this.#path}.${text}`);
      if (value === undefined) return [];
      const key = regexGrammar(text, (set) => charInString(rules, set), inAnyString(rules));
      return [pair(rules, quoted(key), value)];
    });
    return options.length === 0 ? undefined : either(options);
  }

  #checkApart(one: Pattern, other: Pattern): void {
    if (sameJson(one.schema, other.schema)) return;
    const [a, b] = [beginningOf(one.text), beginningOf(other.text)];
    if (a && b && common(a, b).length === 0) return;
    fail(
      this.#path,
      `a name might match both ${show(one.text)} and ${show(other.text)}, whose schemas differ. Let them begin with "^" and ` +
        "different characters, or give both the same schema.",
    );
  }
}
