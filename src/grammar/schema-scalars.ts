/** Strings and numbers of a JSON schema: shapes, lengths, bounds, steps, and single values that are ruled out. */
import { show } from "../util/show.ts";
import { either, type Rules } from "./ebnf.ts";
import {
  anyInteger,
  anyNumber,
  anyString,
  boundedString,
  charInString,
  inAnyString,
  longString,
  quoted,
} from "./json-grammar.ts";
import { multiples } from "./multiple-grammar.ts";
import { type Bounds, boundedNumber } from "./number-grammar.ts";
import { regexGrammar } from "./regex-grammar.ts";
import type { Converter } from "./schema-converter.ts";
import { fail, isStep, type SchemaNode } from "./schema-nodes.ts";
import { unlike } from "./unlike.ts";

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
/**
 * Longest string whose places are all compiled by themselves: over 200,000 tokens each costs 70 ms or more. Longer ones are
 * made of blocks of as many characters, compiled once, in 8 or 9 seconds whatever the length. Masks then take 2 ms, and 100
 * to 200 ms where a token may end a block. Half the block compiles in 5.5 seconds, and such masks are twice as many.
 */
const BLOCK = 64;

export function stringGrammar(
  to: Converter,
  node: SchemaNode,
  except: readonly string[],
  path: string,
): string | undefined {
  const { rules } = to;
  const { pattern } = node;
  const least = to.count(node, "minLength", path) ?? 0;
  const most = to.count(node, "maxLength", path) ?? Number.POSITIVE_INFINITY;
  const format = FORMATS[String(node.format)];
  const shape = pattern ?? format;
  if (shape === undefined) return ofLength(rules, least, most, except, path);
  if (typeof shape !== "string") return fail(path, `"pattern" is ${show(pattern)}; expected a text.`);
  if ("minLength" in node || "maxLength" in node || (pattern !== undefined && format !== undefined)) {
    fail(path, '"pattern" or "format" beside a length or each other is not supported. Say the length in the pattern.');
  }
  const grammar = quoted(regexGrammar(shape, (set) => charInString(rules, set)));
  const matching = except.find((text) => new RegExp(`^(?:${shape})$`, "us").test(text));
  if (matching !== undefined) {
    fail(path, `"not" rules out ${show(matching)}, which the pattern allows. Say the pattern so that it does not.`);
  }
  return grammar;
}

function ofLength(
  rules: Rules,
  least: number,
  most: number,
  except: readonly string[],
  path: string,
): string | undefined {
  if (least > most) return undefined;
  const lengthOf = (text: string): number => Array.from(text).length;
  const within = except.filter((text) => lengthOf(text) >= least && lengthOf(text) <= most);
  if (least === 0 && most === Number.POSITIVE_INFINITY) {
    if (within.length === 0) return anyString(rules);
    return quoted(unlike(rules, within, (set) => charInString(rules, set), inAnyString(rules)));
  }
  if (within.length > 0) {
    fail(path, `"not" rules out ${show(within[0])} beside a length, which is not supported. Say both in a "pattern".`);
  }
  const isShort = least <= BLOCK && (most <= BLOCK || most === Number.POSITIVE_INFINITY);
  return isShort ? boundedString(rules, least, most) : longString(rules, least, most, BLOCK);
}

export function numberGrammar(
  rules: Rules,
  type: "integer" | "number",
  node: SchemaNode,
  except: readonly number[],
  path: string,
): string | undefined {
  const bounds = boundsOf(node, path);
  const step = stepOf(node, path);
  const pieces = around(bounds, except);
  if (pieces.length === 1 && Object.values(bounds).every((bound) => bound === undefined || bound === false)) {
    if (step === undefined) return type === "integer" ? anyInteger(rules) : anyNumber(rules);
    if (step === 1) return anyInteger(rules);
  }
  const options = pieces
    .map((piece) => (step === undefined ? boundedNumber(piece, type) : multiples(rules, step, piece)))
    .filter((option) => option !== undefined);
  return options.length === 0 ? undefined : either([...new Set(options)]);
}

/** `bounds` without the single numbers of `except`, in order. */
function around(bounds: Bounds, except: readonly number[]): Bounds[] {
  const pieces: Bounds[] = [];
  let rest = bounds;
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = bounds;
  for (const value of [...new Set(except)].sort((a, b) => a - b)) {
    if (value < least || value > most) continue;
    pieces.push({ ...rest, most: value, belowMost: true });
    rest = { ...rest, least: value, aboveLeast: true };
  }
  return [...pieces, rest];
}

function boundsOf(node: SchemaNode, path: string): Bounds {
  const [minimum, maximum] = [numberAt(node, "minimum", path), numberAt(node, "maximum", path)];
  const [above, below] = [numberAt(node, "exclusiveMinimum", path), numberAt(node, "exclusiveMaximum", path)];
  const aboveLeast = above !== undefined && (minimum === undefined || above >= minimum);
  const belowMost = below !== undefined && (maximum === undefined || below <= maximum);
  return { least: aboveLeast ? above : minimum, most: belowMost ? below : maximum, aboveLeast, belowMost };
}

function numberAt(node: SchemaNode, key: string, path: string): number | undefined {
  const value = node[key];
  if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value;
  return fail(path, `"${key}" is ${show(value)}; expected a number.`);
}

function stepOf({ multipleOf }: SchemaNode, path: string): number | undefined {
  if (multipleOf === undefined || isStep(multipleOf)) return multipleOf;
  return fail(
    path,
    `"multipleOf" is ${show(multipleOf)}; whole numbers above 0 are supported. Ask for an integer of the smaller unit, or for a string with a "pattern".`,
  );
}
