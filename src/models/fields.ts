/**
 * Reads fields of a configuration one by one, each with its type and bounds, so that a nonsensical value is refused by
 * its own name and not by a crash later. It knows neither keys nor families.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import { show } from "../util/show.ts";

/** Bounds of an integer field, both inclusive. */
export interface Bounds {
  readonly min?: number;
  readonly max: number;
}

/** Typed access to one configuration. Every reader throws FormatError naming key, expected and got. */
export interface Fields {
  has(key: string): boolean;
  /** Integer from `min` (default 1) to `max`. */
  int(key: string, bounds: Bounds): number;
  /** Finite number above 0. */
  positive(key: string): number;
  /** Finite number, 0 or above. */
  notNegative(key: string): number;
  bool(key: string): boolean;
  text(key: string): string;
  /** Array of `length` items, each passing `accept`. */
  list<T>(key: string, length: number, what: string, accept: (item: unknown) => item is T): T[];
  /** Token ids below `vocabSize`: one, several, or none when the key is absent or null. */
  ids(key: string, vocabSize: number): number[];
  /** @throws UnsupportedError when the key is there with a value other than these (null counts as absent). */
  only(key: string, ...supported: readonly (string | number | boolean)[]): void;
  /** @throws FormatError about `key`. */
  fail(key: string, expected: string): never;
}

/** @param where what messages call the configuration: `config.json`, `GGUF metadata`. */
export function readFields(config: Readonly<Record<string, unknown>>, where: string): Fields {
  const get = (key: string): unknown => (Object.hasOwn(config, key) ? config[key] : undefined);
  const has = (key: string): boolean => get(key) !== undefined && get(key) !== null;
  const fail = (key: string, expected: string): never => {
    throw new FormatError(`${where}: expected "${key}" to be ${expected}, got ${show(get(key))}`);
  };
  const integer = (value: unknown, min: number, max: number): value is number =>
    Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max;

  return {
    has,
    fail,
    int: (key, { min = 1, max }) => {
      const value = get(key);
      return integer(value, min, max) ? value : fail(key, `an integer from ${min} to ${max}`);
    },
    positive: (key) => {
      const value = get(key);
      return typeof value === "number" && value > 0 && value < Infinity ? value : fail(key, "a positive number");
    },
    notNegative: (key) => {
      const value = get(key);
      return typeof value === "number" && value >= 0 && value < Infinity ? value : fail(key, "a number from 0 on");
    },
    bool: (key) => {
      const value = get(key);
      return typeof value === "boolean" ? value : fail(key, "true or false");
    },
    text: (key) => {
      const value = get(key);
      return typeof value === "string" ? value : fail(key, "a string");
    },
    list: (key, length, what, accept) => {
      const value: unknown = get(key);
      if (!Array.isArray(value) || value.length !== length) return fail(key, `an array of ${length} items (${what})`);
      const items: readonly unknown[] = value;
      return items.every(accept) ? [...items] : fail(key, `an array of ${what}`);
    },
    ids: (key, vocabSize) => {
      if (!has(key)) return [];
      const value = get(key);
      const items: readonly unknown[] = Array.isArray(value) ? value : [value];
      const isId = (item: unknown): item is number => integer(item, 0, vocabSize - 1);
      return items.every(isId) ? [...items] : fail(key, `token ids from 0 to ${vocabSize - 1}`);
    },
    only: (key, ...supported) => {
      const value = get(key);
      if (!has(key) || supported.some((known) => known === value)) return;
      throw new UnsupportedError(`${where}: "${key}" is ${show(value)}; supported: ${supported.map(show).join(", ")}`);
    },
  };
}
