/** Small JSON files of a checkpoint folder: bounded, strictly UTF-8, and an object or a named error. */
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../sources/byte-source.ts";
import { humanBytes } from "../util/math.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether `value` is an object and no array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Parses `bytes` as a JSON object. @throws FormatError that begins with `where`. */
export function parseJsonObject(where: string, bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    // The parser's own message quotes what it stumbled over, which for a page sent in place of a file says all.
    throw new FormatError(
      `${where}: expected JSON, got something else (${error instanceof Error ? error.message : ""})`,
    );
  }
  if (isJsonObject(value)) return value;
  throw new FormatError(`${where}: expected a JSON object, got ${Array.isArray(value) ? "an array" : typeof value}`);
}

/** Reads a whole JSON file of at most `maxBytes`. @throws FormatError, SourceError, `AbortError`. */
export async function readJson(source: ByteSource, maxBytes: number, signal?: AbortSignal): Promise<JsonObject> {
  const size = await source.size(signal);
  if (size > maxBytes) {
    throw new FormatError(`${source.label}: expected at most ${humanBytes(maxBytes)} of JSON, got ${humanBytes(size)}`);
  }
  return parseJsonObject(source.label, await source.read(0, size, signal));
}
