/** Checks of what a caller hands over: a field that is unknown or out of range is refused by its name. */
import { UsageError } from "../errors.ts";
import { show } from "../util/show.ts";

/** Says what it expected, or nothing when the value is that. */
export type Check = (value: unknown) => string | undefined;
export type Checks = Readonly<Record<string, Check>>;

export const anything: Check = () => undefined;

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function within(low: number, high: number): Check {
  return (value) => (isNumber(value) && value >= low && value <= high ? undefined : `a number from ${low} to ${high}`);
}

export function whole(low: number, high = Number.MAX_SAFE_INTEGER): Check {
  const expected =
    high === Number.MAX_SAFE_INTEGER ? `a whole number, ${low} or more` : `a whole number from ${low} to ${high}`;
  return (value) =>
    Number.isSafeInteger(value) && Number(value) >= low && Number(value) <= high ? undefined : expected;
}

export const positive: Check = (value) => (isNumber(value) && value > 0 ? undefined : "a number above 0");
export const boolean: Check = (value) => (typeof value === "boolean" ? undefined : "true or false");
export const text: Check = (value) => (typeof value === "string" ? undefined : "a text");
export const record: Check = (value) => (isRecord(value) ? undefined : "an object");
export const list: Check = (value) => (Array.isArray(value) ? undefined : "an array");

export function oneOf(...choices: readonly string[]): Check {
  return (value) => (choices.some((choice) => choice === value) ? undefined : `one of ${choices.join(", ")}`);
}

/** An object with these fields and no others. */
export function fields(checks: Checks, required: readonly string[] = []): Check {
  return (value) => {
    if (!isRecord(value)) return "an object";
    const missing = required.find((name) => value[name] === undefined || value[name] === null);
    if (missing !== undefined) return `an object with ${missing}`;
    for (const [name, item] of Object.entries(value)) {
      const check = checks[name];
      if (!check) return `an object without ${name} (known: ${Object.keys(checks).join(", ")})`;
      const expected = item === undefined || item === null ? undefined : check(item);
      if (expected !== undefined) return `an object whose ${name} is ${expected}`;
    }
    return undefined;
  };
}

/**
 * Holds `params` to `checks`; what is absent or `null` is not looked at.
 * @param remedies what to say about fields that are known and not done.
 * @throws UsageError naming every unknown field, or the first that is out of range.
 */
export function checkFields(params: unknown, checks: Checks, remedies: Readonly<Record<string, string>> = {}): void {
  if (!isRecord(params)) throw new UsageError(`Expected an object of parameters, got ${show(params)}.`);
  const given = Object.keys(params).filter((name) => params[name] !== undefined);
  const unknown = given.filter((name) => !Object.hasOwn(checks, name));
  if (unknown.length > 0) {
    const told = unknown.map((name) => (Object.hasOwn(remedies, name) ? `${name} (${remedies[name]})` : name));
    throw new UsageError(`Unknown fields: ${told.join(", ")}. Known are ${Object.keys(checks).join(", ")}.`);
  }
  for (const name of given) {
    const value = params[name];
    const expected = value === null ? undefined : checks[name]?.(value);
    if (expected !== undefined) throw new UsageError(`${name} is ${show(value)}; expected ${expected}.`);
  }
}
