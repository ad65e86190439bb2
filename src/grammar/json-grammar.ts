/** JSON as a grammar: white space, strings, numbers, any value. Schemas are built from these. */
import { type CharSet, charSet, common, others } from "./char-set.ts";
import { either, literal, type Rules, repeated } from "./ebnf.ts";

/** As programs print it: a space, or a line break and what indents the next line. A model gets lost in it no longer than that. */
const MAX_INDENT = 32;
/** Digits before the point and behind it, so that integers stay exact and numbers end. */
export const MAX_DIGITS = 15;
const CONTROLS: CharSet = [[0, 0x1f]];
const QUOTED: CharSet = charSet([...CONTROLS, [0x22, 0x22], [0x5c, 0x5c]]);
const SHORT: Readonly<Record<number, string>> = { 8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\" };

export function space(rules: Rules): string {
  return rules.rule("space", () => (rules.compact ? '"" | " "' : `"" | " " | "\\n" [ \\t]{0,${MAX_INDENT}}`));
}

const HEX = "[0-9a-fA-F]";
const ESCAPED = '"\\\\" [\\u0022\\u005c\\u002fbfnrt]';
/** A character by its number, or by the two halves of a surrogate pair. */
const NUMBERED = [
  `"\\\\u" [0-9abcefABCEF] ${HEX} ${HEX} ${HEX}`,
  `"\\\\u" [dD] [0-7] ${HEX} ${HEX}`,
  `"\\\\u" [dD] [89abAB] ${HEX} ${HEX} "\\\\u" [dD] [c-fC-F] ${HEX} ${HEX}`,
];

/**
 * A string of `least` to `most` characters; a bounded one has no characters by their numbers. The engine works out what
 * tokens fit at every place of a rule when it compiles, and at every token where rules meet: so the choices are one flat
 * list, and every character of a bound costs it a pass over the vocabulary.
 */
export function boundedString(rules: Rules, least: number, most: number): string {
  return quoted(repeated(either([rules.char(others(QUOTED)), ESCAPED]), least, most));
}

/** A character of `set` inside a string; what must be escaped is, in one way. @throws UsageError when `set` is empty. */
export function charInString(rules: Rules, set: CharSet): string {
  const plain = common(set, others(QUOTED));
  const escaped: string[] = [];
  for (const [first, last] of common(set, QUOTED)) {
    for (let point = first; point <= last; point++) {
      const short = SHORT[point];
      escaped.push(literal(short ? `\\${short}` : `\\u${point.toString(16).padStart(4, "0")}`));
    }
  }
  if (escaped.length === 0) return rules.char(plain);
  return rules.rule(`in string ${JSON.stringify(set)}`, () =>
    either([...(plain.length > 0 ? [rules.char(plain)] : []), ...escaped]),
  );
}

/** A string of `least` to `most` characters as blocks of `block` characters and what is left; `most` may be endless. */
export function longString(rules: Rules, least: number, most: number, block: number): string {
  const char = either([rules.char(others(QUOTED)), ESCAPED]);
  const run = (from: number, to: number): string =>
    rules.rule(`${from} to ${to} characters`, () => repeated(char, from, to));
  const whole = run(block, block);
  // What is left behind the blocks that must be there: `from` is less than a block.
  const left = (from: number, to: number): string => {
    if (to === Number.POSITIVE_INFINITY) return `${repeated(char, from, from)} ${repeated(char, 0)}`;
    if (to < block) return run(from, to);
    return rules.rule(`${from} to ${to} characters`, () =>
      either([run(from, block - 1), `${whole} ${left(0, to - block)}`]),
    );
  };
  const needed = Math.floor(least / block);
  const blocks = needed === 0 ? "" : `${repeated(whole, needed, needed)} `;
  return quoted(`${blocks}${left(least % block, most - needed * block)}`);
}

export function quoted(content: string): string {
  return `("\\"" ${content} "\\"")`;
}

export function anyString(rules: Rules): string {
  return rules.rule("string", () => quoted(inAnyString(rules)));
}

/** Any characters, none too, as they stand inside a string. */
export function inAnyString(rules: Rules): string {
  return repeated(either([rules.char(others(QUOTED)), ESCAPED, ...NUMBERED]), 0);
}

export function anyInteger(rules: Rules): string {
  return rules.rule("integer", () => `"-"? ("0" | [1-9] [0-9]{0,${MAX_DIGITS - 1}})`);
}

export function anyNumber(rules: Rules): string {
  const exponent = "([eE] [\\u002b\\u002d]? [0-9]{1,2})?";
  return rules.rule("number", () => `${anyInteger(rules)} ("." [0-9]{1,${MAX_DIGITS}})? ${exponent}`);
}

export function anyValue(rules: Rules): string {
  return rules.rule("value", () => {
    const words = ["true", "false", "null"].map(literal);
    return either([anyObject(rules), listOf(rules, anyValue(rules)), anyString(rules), anyNumber(rules), ...words]);
  });
}

export function anyObject(rules: Rules): string {
  return rules.rule("object", () => objectOf(rules, pair(rules, anyString(rules), anyValue(rules))));
}

export function pair(rules: Rules, key: string, value: string): string {
  return `${key} ":" ${space(rules)} ${value}`;
}

/** An object of any number of pairs, none named. */
export function objectOf(rules: Rules, member: string): string {
  return enclosed(rules, "{", [`${member} (${comma(rules)} ${member})*`, ""], "}");
}

/** A list of `least` to `most` items. */
export function listOf(rules: Rules, item: string, least = 0, most = Number.POSITIVE_INFINITY): string {
  const more = repeated(`${comma(rules)} ${item}`, Math.max(0, least - 1), most - 1);
  const filled = most > 0 ? [`${item} ${more}`] : [];
  return enclosed(rules, "[", least === 0 ? [...filled, ""] : filled, "]");
}

export function comma(rules: Rules): string {
  return `"," ${space(rules)}`;
}

/** One of `contents` between brackets, white space around it; an empty one has it once. */
export function enclosed(rules: Rules, open: string, contents: readonly string[], close: string): string {
  const between = contents.map((content) =>
    content === "" ? space(rules) : `${space(rules)} ${content} ${space(rules)}`,
  );
  return `"${open}" ${either(between)} "${close}"`;
}
