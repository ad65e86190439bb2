/** Objects and arrays of a JSON schema: members in order, those that may be left out, and what may come besides. */

import { show } from "../util/show.ts";
import { type CharSet, charSet, others } from "./char-set.ts";
import { literal, type Rules, repeated } from "./ebnf.ts";
import { anyString, comma, enclosed, listOf, objectOf, pair, quoted } from "./json-grammar.ts";
import type { Converter } from "./schema-converter.ts";
import { fail, type SchemaNode, schemaAt } from "./schema-nodes.ts";
import { PatternProperties } from "./schema-patterns.ts";
import { choices, uniqueItems } from "./schema-unique.ts";
import { unlike } from "./unlike.ts";

interface Member {
  readonly grammar: string;
  readonly required: boolean;
}

export function objectGrammar(to: Converter, node: SchemaNode, path: string): string | undefined {
  const { rules } = to;
  const properties = isNode(node.properties ?? {}) ? ((node.properties ?? {}) as SchemaNode) : undefined;
  if (!properties) return fail(path, `"properties" is ${show(node.properties)}; expected an object of schemas.`);
  const required: readonly unknown[] = Array.isArray(node.required ?? [])
    ? ((node.required ?? []) as unknown[])
    : [node];
  if (!required.every((name) => typeof name === "string")) fail(path, '"required" must be a list of names.');
  const names = [...new Set([...Object.keys(properties), ...(required as string[])])];
  const patterns = new PatternProperties(to, node, path);
  const members: Member[] = [];
  for (const name of names) {
    const isRequired = required.includes(name);
    const own = Object.hasOwn(properties, name) ? schemaAt(properties[name], `${path}.${name}`) : undefined;
    const schema = patterns.schemaOf(name, own) ?? own ?? node.additionalProperties ?? true;
    const value = to.value(schemaAt(schema, `${path}.${name}`), `${path}.${name}`);
    if (value === undefined && isRequired) return undefined;
    if (value !== undefined)
      members.push({ grammar: pair(rules, literal(JSON.stringify(name)), value), required: isRequired });
  }
  const besides = patterns.isEmpty ? additional(to, node, names, path) : patterns.member();
  if (members.length === 0 && besides !== undefined) return objectOf(rules, besides);
  return ordered(rules, "{", members, besides === undefined ? '""' : `(${comma(rules)} ${besides})*`, besides, "}");
}

/** A member that the schema does not name, where it allows any. */
function additional(to: Converter, node: SchemaNode, names: readonly string[], path: string): string | undefined {
  const { rules } = to;
  const { additionalProperties } = node;
  if (additionalProperties === undefined && names.length > 0) return undefined;
  const value = to.value(schemaAt(additionalProperties ?? true, `${path}.*`), `${path}.*`);
  return value && pair(rules, names.length === 0 ? anyString(rules) : otherKey(rules, names), value);
}

/** A key, spelled without escapes, that is none of `names`. */
function otherKey(rules: Rules, names: readonly string[]): string {
  const plain: CharSet = others(
    charSet([
      [0, 0x1f],
      [0x22, 0x22],
      [0x5c, 0x5c],
    ]),
  );
  return quoted(unlike(rules, names, (set) => rules.char(set), repeated(rules.char(plain), 0), plain));
}

export function arrayGrammar(to: Converter, node: SchemaNode, path: string): string | undefined {
  const { rules } = to;
  const least = to.count(node, "minItems", path) ?? 0;
  const most = to.count(node, "maxItems", path) ?? Number.POSITIVE_INFINITY;
  if (least > most) return undefined;
  const { prefixItems = [], items } = node;
  if (!Array.isArray(prefixItems))
    return fail(path, `"prefixItems" is ${show(prefixItems)}; expected a list of schemas.`);
  if (Array.isArray(items)) fail(path, '"items" is a list; write it as "prefixItems".');
  const item = to.value(schemaAt(items ?? prefixItems.length === 0, `${path}.items`), `${path}.items`);
  if (node.uniqueItems !== undefined && node.uniqueItems !== false && most > 1) {
    if (node.uniqueItems !== true) fail(path, `"uniqueItems" is ${show(node.uniqueItems)}; expected true or false.`);
    if (prefixItems.length > 0)
      fail(path, '"uniqueItems" beside "prefixItems" is not supported. Leave it out, and check the result yourself.');
    return uniqueItems(rules, choices(to.root, items ?? true, `${path}.items`), least, most, path);
  }
  if (prefixItems.length === 0) {
    if (item === undefined) return least > 0 ? undefined : listOf(rules, '""', 0, 0);
    return listOf(rules, item, least, most);
  }
  const members: Member[] = [];
  for (const [at, schema] of prefixItems.slice(0, Math.min(most, prefixItems.length)).entries()) {
    const value = to.value(schemaAt(schema, `${path}.${at}`), `${path}.${at}`);
    if (value === undefined) break;
    members.push({ grammar: value, required: at < least });
  }
  const more = members.length === prefixItems.length && item !== undefined ? most - members.length : 0;
  const wanted = Math.max(0, least - members.length);
  if (wanted > more) return undefined;
  const tail = more === 0 || item === undefined ? '""' : repeated(`${comma(rules)} ${item}`, wanted, more);
  return inSequence(rules, members, tail, least === 0);
}

/** Items each of which is there only if the one before is. */
function inSequence(rules: Rules, members: readonly Member[], tail: string, mayBeEmpty: boolean): string {
  const from = (at: number): string => {
    const member = members[at];
    if (!member) return tail;
    const there = `${at === 0 ? "" : comma(rules)} ${member.grammar} ${from(at + 1)}`;
    return member.required || at === 0 ? there : `(${there})?`;
  };
  return enclosed(rules, "[", [from(0), ...(mayBeEmpty ? [""] : [])], "]");
}

/** Members in order, each optional one there or not; `first` is what may stand in front when none of them is. */
function ordered(
  rules: Rules,
  open: string,
  members: readonly Member[],
  tail: string,
  first: string | undefined,
  close: string,
): string {
  const rest = (at: number): string => {
    const member = members[at];
    if (!member) return tail;
    const key = JSON.stringify(["rest", members.slice(at), tail]);
    return rules.rule(key, () => {
      const there = `${comma(rules)} ${member.grammar}`;
      return `${member.required ? there : `(${there})?`} ${rest(at + 1)}`;
    });
  };
  const beginnings: string[] = [];
  for (const [at, member] of members.entries()) {
    beginnings.push(`${member.grammar} ${rest(at + 1)}`);
    if (member.required) return enclosed(rules, open, beginnings, close);
  }
  return enclosed(rules, open, [...beginnings, ...(first === undefined ? [] : [`${first} ${tail}`]), ""], close);
}

function isNode(value: unknown): value is SchemaNode {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
