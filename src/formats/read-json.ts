/** Small JSON files of a checkpoint folder: bounded, strictly UTF-8, and an object or a named error. */
import { FormatError } from "../errors.ts";
import type { ByteSource } from "../sources/byte-source.ts";
import { humanBytes } from "../util/math.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether `value` is an object and no array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Most arrays and objects inside each other: configurations and tokenizers have about ten. What reads them may walk them
 * by recursion, which a forged file must not drive beyond the stack.
 */
const MAX_DEPTH = 100;

/** Parses `bytes` as a JSON object. @throws FormatError that begins with `where`. */
export function parseJsonObject(where: string, bytes: Uint8Array): JsonObject {
  refuseDepth(where, bytes);
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

/** @throws FormatError where `bytes`, taken as JSON, nest deeper than `MAX_DEPTH`; whether they are JSON is not asked. */
function refuseDepth(where: string, bytes: Uint8Array): void {
  const [quote, backslash] = [0x22, 0x5c];
  let depth = 0;
  let inText = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (inText) {
      if (byte === backslash) at += 1;
      else if (byte === quote) inText = false;
    } else if (byte === quote) inText = true;
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (depth > MAX_DEPTH)
      throw new FormatError(`${where}, byte ${at}: expected JSON at most ${MAX_DEPTH} levels deep`);
  }
}

/** Reads a whole JSON file of at most `maxBytes`. @throws FormatError, SourceError, `AbortError`. */
export async function readJson(source: ByteSource, maxBytes: number, signal?: AbortSignal): Promise<JsonObject> {
  const size = await source.size(signal);
  if (size > maxBytes) {
    throw new FormatError(`${source.label}: expected at most ${humanBytes(maxBytes)} of JSON, got ${humanBytes(size)}`);
  }
  return parseJsonObject(source.label, await source.read(0, size, signal));
}
