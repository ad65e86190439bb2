/** A pattern of ECMAScript as a grammar: the text is the whole of a match. Look-around and back-references are refused. */
import { type AST, RegExpParser } from "@eslint-community/regexpp";
import { UsageError } from "../errors.ts";
import { show } from "../util/show.ts";
import { ANY, type CharSet, charSet, common, others } from "./char-set.ts";
import { either, repeated } from "./ebnf.ts";

type Element = AST.Element;
type ClassElement = AST.CharacterClassElement;

const DIGITS: CharSet = [[0x30, 0x39]];
const WORDS: CharSet = charSet([...DIGITS, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);
const LINE_ENDS: CharSet = charSet([10, 13].map((point) => [point, point]));
const SPACES: CharSet = charSet([
  [9, 13],
  ...[0x20, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff].map((point) => [point, point] as const),
  [0x2000, 0x200a],
]);
/** Repetitions are written out. */
const MAX_REPEATS = 4096;

/**
 * @param spell how the text spells one character of a set, which differs inside JSON.
 * @param around what may stand before and behind a match where the pattern does not say `^` and `$`; absent, the match is
 *   the whole text.
 * @throws UsageError for what is no pattern, and for what a grammar cannot say.
 */
export function regexGrammar(pattern: string, spell: (set: CharSet) => string, around?: string): string {
  const fail = failing(pattern);
  const { alternatives } = parse(pattern, fail);
  const converter = new RegexConverter(spell, fail);
  return around === undefined ? converter.any(alternatives, true, true) : converter.within(alternatives, around);
}

/** What a match begins with, where the pattern says that the text begins with it, as one character; else `undefined`. */
export function beginningOf(pattern: string): CharSet | undefined {
  const fail = failing(pattern);
  const converter = new RegexConverter(() => "", fail);
  const sets = parse(pattern, fail).alternatives.map(({ elements: [edge, first] }) =>
    edge && isEdge(edge, "start") && first ? converter.oneOf(first) : undefined,
  );
  return sets.some((set) => set === undefined) ? undefined : charSet(sets.flatMap((set) => set ?? []));
}

function failing(pattern: string): (what: string) => never {
  return (what) => {
    throw new UsageError(`The pattern ${show(pattern)} ${what}`);
  };
}

function isEdge(element: Element | undefined, kind: "start" | "end"): boolean {
  return element?.type === "Assertion" && element.kind === kind;
}

function parse(pattern: string, fail: (what: string) => never): AST.Pattern {
  try {
    return new RegExpParser().parsePattern(pattern, 0, pattern.length, { unicode: true });
  } catch (error) {
    return fail(`is not one of ECMAScript: ${error instanceof Error ? error.message : String(error)}`);
  }
}

class RegexConverter {
  readonly #spell: (set: CharSet) => string;
  readonly #fail: (what: string) => never;

  constructor(spell: (set: CharSet) => string, fail: (what: string) => never) {
    this.#spell = spell;
    this.#fail = fail;
  }

  /** @param first nothing of the text comes before. @param last nothing of it comes behind. */
  any(alternatives: readonly AST.Alternative[], first: boolean, last: boolean): string {
    return either(alternatives.map(({ elements }) => this.#all(elements, first, last)));
  }

  /** The same somewhere in a text, with `around` where an alternative does not end it. */
  within(alternatives: readonly AST.Alternative[], around: string): string {
    return either(
      alternatives.map(({ elements }) => {
        const [begins, ends] = [isEdge(elements[0], "start"), isEdge(elements.at(-1), "end")];
        return `${begins ? "" : around} ${this.#all(elements, begins, ends)} ${ends ? "" : around}`;
      }),
    );
  }

  /** The set of an element that is one character; `undefined` for others. */
  oneOf(element: Element): CharSet | undefined {
    const isChar = ["Character", "CharacterSet", "CharacterClass"].includes(element.type);
    return isChar ? this.#set(element) : undefined;
  }

  #all(elements: readonly Element[], first: boolean, last: boolean): string {
    const isAssertion = ({ type }: Element): boolean => type === "Assertion";
    const parts = elements.map((element, at) => {
      const begins = first && elements.slice(0, at).every(isAssertion);
      const ends = last && elements.slice(at + 1).every(isAssertion);
      return this.#one(element, begins, ends);
    });
    const said = parts.filter((part) => part !== '""');
    return said.length === 0 ? '""' : `(${said.join(" ")})`;
  }

  #one(element: Element, first: boolean, last: boolean): string {
    switch (element.type) {
      case "Assertion":
        if (element.kind === "start" ? first : element.kind === "end" && last) return '""';
        return this.#fail(`has ${element.raw} where a grammar cannot look around; it matches the whole text anyway.`);
      case "Backreference":
        return this.#fail(`refers back with ${element.raw}, which a grammar cannot.`);
      case "Group":
        if (element.modifiers) this.#fail(`changes its flags with ${element.raw}, which is not supported.`);
        return this.any(element.alternatives, first, last);
      case "CapturingGroup":
        return this.any(element.alternatives, first, last);
      case "Quantifier":
        return this.#repeated(element);
      case "Character":
      case "CharacterSet":
      case "CharacterClass":
        return this.#spell(this.#set(element));
      default:
        return this.#fail(`has ${element.raw}, which is not supported.`);
    }
  }

  #repeated({ min, max, element, raw }: AST.Quantifier): string {
    const most = max === Number.POSITIVE_INFINITY ? min : max;
    if (most > MAX_REPEATS) this.#fail(`repeats more than ${MAX_REPEATS} times: ${raw}`);
    return repeated(this.#one(element, false, false), min, max);
  }

  #set(element: Element | ClassElement): CharSet {
    switch (element.type) {
      case "Character":
        return common(ANY, [[element.value, element.value]]);
      case "CharacterClassRange":
        return common(ANY, [[element.min.value, element.max.value]]);
      case "CharacterSet":
        return this.#named(element);
      case "CharacterClass": {
        const set = charSet(element.elements.flatMap((part) => this.#set(part as ClassElement)));
        return element.negate ? others(set) : set;
      }
      default:
        return this.#fail(`has ${element.raw} in a class, which is not supported.`);
    }
  }

  #named(set: AST.CharacterSet): CharSet {
    if (set.kind === "any") return others(LINE_ENDS); // U+2028 and U+2029 are never allowed: see grammar-engine.ts
    if (set.kind === "property") return this.#fail(`has ${set.raw}: classes of Unicode are not supported.`);
    const named = { digit: DIGITS, space: SPACES, word: WORDS }[set.kind];
    return set.negate ? others(named) : named;
  }
}
