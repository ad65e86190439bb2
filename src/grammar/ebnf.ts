/**
 * Writes grammars for the grammar engine. Classes that have all of Unicode beyond ASCII it knows itself, by what they leave
 * out; others are written as the bytes of UTF-8: the engine takes a class of code points from 0x80 to
 * 0xff for single bytes of that value, and a class of one code point for that character's spelling. A byte alone is
 * therefore written with the byte 0xff beside it, which is in no token that the engine is given (`grammar-engine.ts`).
 */
import { UsageError } from "../errors.ts";
import { ANY, type ByteRanges, type CharSet, common, others, utf8Ranges } from "./char-set.ts";

/** Far more than a schema needs that a model can fill; a forged one may ask for any number. */
const MAX_RULES = 20_000;
const NEVER = 0xff;
const BEYOND_ASCII = common(ANY, [[0x80, 0x10_ffff]]);

/** `text`, in quotes. */
export function literal(text: string): string {
  const spelled = Array.from(text, (char) => {
    if (/[A-Za-z0-9 _]/.test(char)) return char;
    const point = (char.codePointAt(0) ?? 0).toString(16);
    return `\\U${point.padStart(8, "0")}`;
  });
  return `"${spelled.join("")}"`;
}

/** One of `options`; as it is where there is one only. @throws RangeError for none. */
export function either(options: readonly string[]): string {
  const [only] = options;
  if (only === undefined) throw new RangeError("a grammar needs something to choose from");
  return options.length === 1 ? only : `(${options.join(" | ")})`;
}

/** `item` from `least` to `most` times. */
export function repeated(item: string, least: number, most = Number.POSITIVE_INFINITY): string {
  if (most === 0) return '""';
  if (least === 1 && most === 1) return item;
  if (most === Number.POSITIVE_INFINITY && least <= 1) return `(${item})${least === 0 ? "*" : "+"}`;
  return `(${item}){${least},${most === Number.POSITIVE_INFINITY ? "" : most}}`;
}

/** Named rules of one grammar. */
export class Rules {
  /** Whether JSON stays on one line. */
  readonly compact: boolean;
  readonly #bodies = new Map<string, string>();
  readonly #known = new Map<string, string>();

  constructor(compact = false) {
    this.compact = compact;
  }

  /** The rule that `write` gives for `key`, written once; it may name itself. */
  rule(key: string, write: (name: string) => string): string {
    const known = this.#known.get(key);
    if (known) return known;
    if (this.#known.size >= MAX_RULES) throw new UsageError(`The constraint needs more than ${MAX_RULES} rules.`);
    const name = `r${this.#known.size}`;
    this.#known.set(key, name);
    this.#bodies.set(name, write(name));
    return name;
  }

  /** One character of `set`. @throws UsageError when it is empty. */
  char(set: CharSet): string {
    if (set.length === 0) throw new UsageError("A class of the pattern has no character in it.");
    const ascii = common(set, [[0, 0x7f]]);
    const beyond = common(set, BEYOND_ASCII);
    const excluded = common([[0, 0x7f]], others(set));
    if (JSON.stringify(beyond) === JSON.stringify(BEYOND_ASCII) && excluded.length > 0)
      return `[^${inClass(excluded)}]`;
    const spelled = beyond.flatMap(([first, last]) => utf8Ranges(first, last));
    return either([...(ascii.length > 0 ? [byteClass(ascii)] : []), ...spelled.map(sequence)]);
  }

  /** The grammar whose whole is `root`. */
  text(root: string): string {
    const lines = [...this.#bodies].map(([name, body]) => `${name} ::= ${body}`);
    return [`root ::= ${root}`, ...lines].join("\n");
  }
}

function sequence(bytes: ByteRanges): string {
  return bytes.map((range) => byteClass([range])).join(" ");
}

function byteClass(ranges: readonly (readonly [number, number])[]): string {
  const alone = ranges.length === 1 && ranges[0]?.[0] === ranges[0]?.[1] && (ranges[0]?.[0] ?? 0) > 0x7f;
  return `[${inClass(ranges)}${alone ? hex(NEVER) : ""}]`;
}

function inClass(ranges: CharSet): string {
  return ranges.map(([first, last]) => (first === last ? hex(first) : `${hex(first)}-${hex(last)}`)).join("");
}

function hex(byte: number): string {
  return `\\u${byte.toString(16).padStart(4, "0")}`;
}
