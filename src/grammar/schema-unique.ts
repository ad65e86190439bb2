/** Arrays no two items of which are the same, over items that can be listed: what was used stands in the rule. */
import { either, literal, type Rules } from "./ebnf.ts";
import { comma, enclosed } from "./json-grammar.ts";
import {
  assertions,
  canonical,
  contains,
  fail,
  flat,
  isOfType,
  type Schema,
  schemaAt,
  typesOf,
} from "./schema-nodes.ts";

/** Sets of used items, each a rule; over 200,000 tokens so many compile in some four seconds. */
const MOST_SETS = 1024;
/** So many whole numbers between bounds are listed. */
const MOST_NUMBERS = 64;

/** What an item may be. @throws UsageError for a schema that does not list it. */
export function choices(root: Schema, items: unknown, path: string): unknown[] {
  const schema = flat(root, schemaAt(items, path), path);
  const said = typeof schema === "boolean" ? {} : assertions(schema);
  const { enum: listed, const: only, type, minimum, maximum, ...rest } = said;
  if (Object.keys(rest).length === 0) {
    const given = Array.isArray(listed) ? listed : undefined;
    const values: unknown[] | undefined = "const" in said ? [only] : given;
    const bounded = minimum !== undefined || maximum !== undefined;
    if (values && !bounded) {
      const both = given ? values.filter((value) => contains(given, value)) : values;
      return type === undefined ? both : both.filter((value) => isOfType(value, typesOf(type, path)));
    }
    const numbers = type === "integer" && wholeNumbers(minimum, maximum);
    if (numbers) return numbers;
    const words = (type === undefined ? [] : typesOf(type, path)).map((name) => WORDS[name]);
    if (!bounded && words.length > 0 && words.every((word) => word !== undefined)) return words.flat();
  }
  return fail(
    path,
    '"uniqueItems" is supported where the items are listed ("enum", "const", booleans, a few integers between bounds). ' +
      "List them, or leave it out and check the result yourself.",
  );
}

const WORDS: Readonly<Record<string, readonly unknown[] | undefined>> = { boolean: [true, false], null: [null] };

function wholeNumbers(minimum: unknown, maximum: unknown): number[] | undefined {
  if (typeof minimum !== "number" || typeof maximum !== "number") return undefined;
  const count = Math.floor(maximum) - Math.ceil(minimum) + 1;
  if (!(count <= MOST_NUMBERS)) return undefined;
  return Array.from({ length: Math.max(0, count) }, (_, at) => Math.ceil(minimum) + at);
}

/** Lists of `least` to `most` different `items`, in any order. */
export function uniqueItems(
  rules: Rules,
  items: readonly unknown[],
  least: number,
  most: number,
  path: string,
): string | undefined {
  const texts = [...new Map(items.map((item) => [canonical(item), literal(JSON.stringify(item))])).values()];
  const longest = Math.min(most, texts.length);
  if (least > longest) return undefined;
  if (sets(texts.length, longest) > MOST_SETS) {
    fail(
      path,
      `"uniqueItems" over ${texts.length} items, up to ${longest} of them at once, is too much to follow. Lower "maxItems", ` +
        "or leave it out and check the result yourself.",
    );
  }
  const from = (used: readonly number[]): string =>
    rules.rule(`unique ${JSON.stringify([texts, least, longest, used])}`, () => {
      const options = texts.flatMap((text, at) => (used.includes(at) ? [] : [`${text} ${behind([...used, at])}`]));
      return either(options);
    });
  const behind = (used: readonly number[]): string => {
    const more = used.length < longest ? `${comma(rules)} ${from([...used].sort((a, b) => a - b))}` : undefined;
    if (more === undefined) return '""';
    return used.length >= least ? `(${more})?` : more;
  };
  return enclosed(rules, "[", [...(longest > 0 ? [from([])] : []), ...(least === 0 ? [""] : [])], "]");
}

/** How many sets of up to `most` of `count` items there are. */
function sets(count: number, most: number): number {
  let [sum, of] = [0, 1];
  for (let size = 0; size <= most; size++) {
    sum += of;
    of = (of * (count - size)) / (size + 1);
  }
  return sum;
}
