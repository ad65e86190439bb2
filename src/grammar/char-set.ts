/** Sets of code points as sorted, separate ranges, and the bytes that UTF-8 spells them with. */

/** First and last code point of each range. */
export type CharSet = readonly (readonly [number, number])[];

/** Bytes at each place of a spelling: first and last. */
export type ByteRanges = readonly (readonly [number, number])[];

const LAST = 0x10_ffff;
/** Every code point but the halves of surrogate pairs, which UTF-8 does not spell. */
export const ANY: CharSet = [
  [0, 0xd7ff],
  [0xe000, LAST],
];

export function charSet(ranges: CharSet): CharSet {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = joined.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** What is in both. */
export function common(a: CharSet, b: CharSet): CharSet {
  const both = a.flatMap(([from, to]) =>
    b.map(([first, last]) => [Math.max(from, first), Math.min(to, last)] as const),
  );
  return charSet(both.filter(([first, last]) => first <= last));
}

/** Every code point that is not in `set`. */
export function others(set: CharSet): CharSet {
  const gaps: [number, number][] = [];
  let next = 0;
  for (const [first, last] of set) {
    if (first > next) gaps.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= LAST) gaps.push([next, LAST]);
  return common(gaps, ANY);
}

/** Lists of byte ranges such that a text is of one of them exactly when it is UTF-8 of a code point of the range. */
export function utf8Ranges(first: number, last: number): ByteRanges[] {
  for (const limit of [0x7f, 0x7ff, 0xffff]) {
    if (first <= limit && last > limit) return [...utf8Ranges(first, limit), ...utf8Ranges(limit + 1, last)];
  }
  if (last <= 0x7f) return [[[first, last]]];
  // Where the leading bits differ, the bits behind them must run over all that they can.
  for (const bits of [6, 12, 18]) {
    const low = 2 ** bits - 1;
    if (first >> bits === last >> bits) continue;
    if ((first & low) !== 0) return [...utf8Ranges(first, first | low), ...utf8Ranges((first | low) + 1, last)];
    if ((last & low) !== low) {
      const cut = last - (last & low);
      return [...utf8Ranges(first, cut - 1), ...utf8Ranges(cut, last)];
    }
  }
  const [from, to] = [first, last].map((point) => new TextEncoder().encode(String.fromCodePoint(point)));
  return [Array.from(from ?? [], (byte, at) => [byte, to?.[at] ?? byte] as const)];
}
