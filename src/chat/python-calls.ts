/** Calls as Python spells them, `[f(a=1, b="x"), g()]`: what LFM2 and some Llamas write. Literals only, nothing is run. */
import type { BodyParser, ParsedCall } from "./call-bodies.ts";

/** Deeper than arguments in use. */
const MAX_DEPTH = 32;

class NotPython extends Error {}

export const pythonCalls: BodyParser = (body) => {
  try {
    return new Reader(body).calls();
  } catch (error) {
    if (error instanceof NotPython) return undefined;
    throw error;
  }
};

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  calls(): ParsedCall[] {
    const listed = this.#take("[");
    const calls = [this.#call()];
    while (this.#take(",")) calls.push(this.#call());
    if (listed) this.#demand("]");
    this.#space();
    if (this.#at < this.#text.length) throw new NotPython();
    return calls;
  }

  #call(): ParsedCall {
    const name = this.#match(/[A-Za-z_][\w.-]*/y);
    this.#demand("(");
    const given: [string, unknown][] = [];
    while (!this.#take(")")) {
      if (given.length > 0) this.#demand(",");
      const key = this.#match(/[A-Za-z_]\w*/y);
      this.#demand("=");
      given.push([key, this.#value(0)]);
    }
    return { name, arguments: JSON.stringify(Object.fromEntries(given)) };
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new NotPython();
    this.#space();
    const first = this.#text[this.#at];
    if (first === '"' || first === "'") return this.#string(first);
    if (first === "[") return this.#items("[", "]", depth);
    if (first === "(") return this.#items("(", ")", depth);
    if (first === "{") return this.#fields(depth);
    const word = this.#match(/[-+\w.]+/y);
    const named: Record<string, unknown> = {
      True: true,
      False: false,
      None: null,
      true: true,
      false: false,
      null: null,
    };
    if (Object.hasOwn(named, word)) return named[word];
    const number = Number(word);
    if (!Number.isFinite(number)) throw new NotPython();
    return number;
  }

  #items(open: string, close: string, depth: number): unknown[] {
    this.#demand(open);
    const items: unknown[] = [];
    while (!this.#take(close)) {
      if (items.length > 0) {
        this.#demand(",");
        if (this.#take(close)) break;
      }
      items.push(this.#value(depth + 1));
    }
    return items;
  }

  #fields(depth: number): Record<string, unknown> {
    this.#demand("{");
    const entries: [string, unknown][] = [];
    while (!this.#take("}")) {
      if (entries.length > 0) this.#demand(",");
      const key = this.#value(depth + 1);
      this.#demand(":");
      entries.push([String(key), this.#value(depth + 1)]);
    }
    return Object.fromEntries(entries);
  }

  #string(quote: string): string {
    let text = "";
    for (this.#at += 1; ; this.#at += 1) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new NotPython();
      if (character === quote) break;
      if (character !== "\\") {
        text += character;
        continue;
      }
      this.#at += 1;
      const escaped = this.#text[this.#at] ?? "";
      const known: Record<string, string> = { n: "\n", t: "\t", r: "\r" };
      text += known[escaped] ?? escaped;
    }
    this.#at += 1;
    return text;
  }

  #match(pattern: RegExp): string {
    this.#space();
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (!found) throw new NotPython();
    this.#at += found.length;
    return found;
  }

  #take(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #demand(character: string): void {
    if (!this.#take(character)) throw new NotPython();
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? "")) this.#at += 1;
  }
}
