/** Whole numbers that a step divides, as a grammar: digit by digit along both bounds, with the remainder so far. */
import { UsageError } from "../errors.ts";
import { either, type Rules } from "./ebnf.ts";
import { type Bounds, integersBetween, wholeBounds } from "./number-grammar.ts";

/** So few multiples are listed. */
const LISTED = 64n;
/** A remainder is a rule for each number of digits behind it, and over 200,000 tokens a rule compiles in some milliseconds. */
const MOST_REMAINDERS = 128n;

/**
 * @returns `undefined` when no multiple of `step` that can be written lies between the bounds.
 * @throws UsageError for a step with too many remainders.
 */
export function multiples(rules: Rules, step: number, bounds: Bounds): string | undefined {
  const [low, high] = wholeBounds(bounds);
  const by = BigInt(step);
  const negative = magnitudes(rules, by, high < 0n ? -high : 1n, -low).map((option) => `"-" ${option}`);
  const zero = low <= 0n && high >= 0n ? ['"0"'] : [];
  const options = [...zero, ...magnitudes(rules, by, low > 0n ? low : 1n, high), ...negative];
  return options.length === 0 ? undefined : either(options);
}

/** Multiples of `step` from `low` to `high`, both above 0. */
function magnitudes(rules: Rules, step: bigint, low: bigint, high: bigint): string[] {
  // Zeros at its end are those of its multiples, and need no remainders.
  if (step % 10n === 0n) {
    return magnitudes(rules, step / 10n, (low + 9n) / 10n, high / 10n).map((option) => `${option} "0"`);
  }
  const first = (low + step - 1n) / step;
  const last = high / step;
  if (low > high || first > last) return [];
  if (step === 1n) return integersBetween(low, high);
  if (last - first < LISTED) {
    return Array.from({ length: Number(last - first) + 1 }, (_, at) => `"${(first + BigInt(at)) * step}"`);
  }
  if (step > MOST_REMAINDERS) {
    throw new UsageError(
      `A JSON schema's "multipleOf" of ${step} leaves too many remainders to follow: up to ${MOST_REMAINDERS} are supported, ` +
        "zeros at the end not counted. Narrow it by a minimum and a maximum, or ask for the quotient instead.",
    );
  }
  const options: string[] = [];
  for (let from = low; from <= high; ) {
    const digits = from.toString().length;
    const largest = 10n ** BigInt(digits) - 1n;
    const to = largest < high ? largest : high;
    const grammar = tail(rules, step, 0n, digits, from, to);
    if (grammar !== undefined) options.push(grammar);
    from = to + 1n;
  }
  return options;
}

/** The last `digits` digits, which lie between `low` and `high`, behind digits that leave `remainder`. */
function tail(
  rules: Rules,
  step: bigint,
  remainder: bigint,
  digits: number,
  low: bigint,
  high: bigint,
): string | undefined {
  const unit = 10n ** BigInt(digits);
  const missing = (step - ((remainder * unit + low) % step)) % step;
  if (low + missing > high) return undefined;
  if (digits === 0) return '""';
  return rules.rule(`multiple of ${step} behind ${remainder}: ${digits} digits, ${low} to ${high}`, () => {
    const place = unit / 10n;
    const byNext = new Map<string, bigint[]>();
    for (let digit = low / place; digit <= high / place; digit++) {
      const from = digit === low / place ? low % place : 0n;
      const to = digit === high / place ? high % place : place - 1n;
      const next = tail(rules, step, (remainder * 10n + digit) % step, digits - 1, from, to);
      if (next !== undefined) byNext.set(next, [...(byNext.get(next) ?? []), digit]);
    }
    return either([...byNext].map(([next, list]) => `[${list.join("")}]${next === '""' ? "" : ` ${next}`}`));
  });
}
