/** Numbers between bounds as a grammar: decimals written out, without exponents, digit by digit along both bounds. */
import { either } from "./ebnf.ts";
import { MAX_DIGITS } from "./json-grammar.ts";

export interface Bounds {
  readonly least?: number | undefined;
  readonly most?: number | undefined;
  /** Whether the bound itself is out. */
  readonly aboveLeast?: boolean;
  readonly belowMost?: boolean;
}

/** Digits behind the point of a bounded number. */
const FRACTION = 6;

/** @returns `undefined` when no number that can be written lies between the bounds. */
export function boundedNumber(bounds: Bounds, kind: "integer" | "number"): string | undefined {
  const digits = kind === "integer" ? 0 : FRACTION;
  const [low, high] = wholeBounds(bounds, digits);
  if (low > high) return undefined;
  const options: string[] = [];
  if (high >= 0n) options.push(...magnitudes(low > 0n ? low : 0n, high, digits));
  if (low < 0n) {
    const nearest = high < 0n ? -high : 1n;
    options.push(...magnitudes(nearest, -low, digits).map((option) => `"-" ${option}`));
  }
  return either(options);
}

/** First and last number between the bounds that can be written, in units of the last of `digits` behind the point. */
export function wholeBounds(bounds: Bounds, digits = 0): [low: bigint, high: bigint] {
  const largest = 10n ** BigInt(MAX_DIGITS + digits) - 1n;
  return [firstWithin(bounds, digits, largest), lastWithin(bounds, digits, largest)];
}

/** The bounds in units of the last digit, rounded inwards; a double is compared with what the digits parse to. */
function firstWithin({ least, aboveLeast }: Bounds, digits: number, largest: bigint): bigint {
  if (least === undefined) return -largest;
  let at = scaled(least, digits, largest) - 1n;
  const within = (): boolean => (aboveLeast ? parsed(at, digits) > least : parsed(at, digits) >= least);
  while (at <= largest && !within()) at += 1n;
  return at;
}

function lastWithin({ most, belowMost }: Bounds, digits: number, largest: bigint): bigint {
  if (most === undefined) return largest;
  let at = scaled(most, digits, largest) + 1n;
  const within = (): boolean => (belowMost ? parsed(at, digits) < most : parsed(at, digits) <= most);
  while (at >= -largest && !within()) at -= 1n;
  return at;
}

function scaled(bound: number, digits: number, largest: bigint): bigint {
  const unit = BigInt(Math.round(bound * 10 ** digits));
  return unit > largest ? largest : unit < -largest ? -largest : unit;
}

function parsed(units: bigint, digits: number): number {
  const text = (units < 0n ? -units : units).toString().padStart(digits + 1, "0");
  const split = text.length - digits;
  return (units < 0n ? -1 : 1) * Number(`${text.slice(0, split)}.${text.slice(split)}`);
}

/** Numbers from `low` to `high`, both 0 or more, in units of the last digit. */
function magnitudes(low: bigint, high: bigint, digits: number): string[] {
  if (digits === 0) return integersBetween(low, high);
  const unit = 10n ** BigInt(digits);
  const [first, last] = [low / unit, high / unit];
  const fraction = (from: bigint, to: bigint): string => {
    return fractions(from.toString().padStart(digits, "0"), to.toString().padStart(digits, "0"));
  };
  const with_ = (whole: string, rest: string): string => `${whole} ${rest}`;
  if (first === last) return [with_(`"${first}"`, fraction(low % unit, high % unit))];
  const between = first + 1n <= last - 1n ? integersBetween(first + 1n, last - 1n) : [];
  const inner = between.length > 0 ? [with_(either(between), `("." [0-9]{1,${digits}})?`)] : [];
  return [
    with_(`"${first}"`, fraction(low % unit, unit - 1n)),
    ...inner,
    with_(`"${last}"`, fraction(0n, high % unit)),
  ];
}

/** What may stand behind a whole number so that the digits lie between `low` and `high`, both as long as they may be. */
function fractions(low: string, high: string): string {
  const tail = digitsBetween(low, high);
  const point = tail === undefined ? undefined : `"." ${tail}`;
  if (/^0*$/.test(low)) return point === undefined ? '""' : `("" | ${point})`;
  return point ?? '""';
}

/** Digits, one or more, that lie between two of full length; fewer digits stand for zeros behind them. */
function digitsBetween(low: string, high: string): string | undefined {
  const length = low.length;
  if (length === 0) return undefined;
  const [first, last] = [Number(low[0]), Number(high[0])];
  const free = length > 1 ? `[0-9]{0,${length - 1}}` : "";
  const behind = (digit: number, from: string, to: string): string => {
    const tail = digitsBetween(from, to);
    const mayEnd = /^0*$/.test(from);
    if (tail === undefined) return `"${digit}"`;
    return `"${digit}" ${mayEnd ? `("" | ${tail})` : tail}`;
  };
  if (first === last) return behind(first, low.slice(1), high.slice(1));
  const between = first + 1 <= last - 1 ? [`[${first + 1}-${last - 1}] ${free}`] : [];
  return either([
    behind(first, low.slice(1), "9".repeat(length - 1)),
    ...between,
    behind(last, "0".repeat(length - 1), high.slice(1)),
  ]);
}

/** Whole numbers from `low` to `high`, 0 or more, without leading zeros. */
export function integersBetween(low: bigint, high: bigint): string[] {
  const options: string[] = [];
  for (let from = low; from <= high; ) {
    const text = from.toString();
    const largest = 10n ** BigInt(text.length) - 1n;
    const to = largest < high ? largest : high;
    options.push(sameLength(text, to.toString()));
    from = to + 1n;
  }
  return options;
}

function sameLength(low: string, high: string): string {
  if (low === high) return `"${low}"`;
  const rest = low.length - 1;
  const [first, last] = [Number(low[0]), Number(high[0])];
  if (/^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1))) {
    return `[${first}-${last}]${rest > 0 ? ` [0-9]{${rest}}` : ""}`;
  }
  if (first === last) return `"${first}" ${sameLength(low.slice(1), high.slice(1))}`;
  const between = first + 1 <= last - 1 ? [`[${first + 1}-${last - 1}] [0-9]{${rest}}`] : [];
  return either([
    `"${first}" ${sameLength(low.slice(1), "9".repeat(rest))}`,
    ...between,
    `"${last}" ${sameLength("0".repeat(rest), high.slice(1))}`,
  ]);
}
