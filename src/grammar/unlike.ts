/** Texts that are none of some: what differs from all of them at some character. */
import { ANY, type CharSet, charSet, common, others } from "./char-set.ts";
import { either, type Rules } from "./ebnf.ts";

/**
 * @param spell how the text spells one character of a set; of what it does not spell nothing is made.
 * @param rest what may stand behind the character that differs.
 * @param chars characters that `spell` knows.
 */
export function unlike(
  rules: Rules,
  texts: readonly string[],
  spell: (set: CharSet) => string,
  rest: string,
  chars: CharSet = ANY,
): string {
  const after = (start: string, ends: readonly string[]): string =>
    rules.rule(`unlike ${JSON.stringify([start, ends, rest])}`, () => {
      const next = [...new Set(ends.filter((text) => text !== "").map((text) => text.codePointAt(0) ?? 0))];
      const taken = charSet(next.map((point) => [point, point]));
      const known = next.filter((point) => common(chars, [[point, point]]).length > 0);
      const along = known.map((point) => {
        const char = String.fromCodePoint(point);
        const left = ends.filter((text) => text.codePointAt(0) === point).map((text) => text.slice(char.length));
        return `${spell([[point, point]])} ${after(start + char, left)}`;
      });
      const strange = `${spell(common(chars, others(taken)))} ${rest}`;
      return either([...(ends.includes("") ? [] : ['""']), strange, ...along]);
    });
  return after("", texts);
}
