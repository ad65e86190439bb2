/** What the disk cache knows of a model as a whole: plain data, kept as JSON in a twin file. */

/** One file of the model's folder. `size` -1: the server said that there is none of this name. */
export interface FileIdentity {
  readonly name: string;
  readonly size: number;
  /** ETag, modification date, or a digest of the first bytes. */
  readonly version: string;
}

export interface CacheMeta {
  readonly format: typeof CACHE_FORMAT;
  /** Address of the model without its query. */
  readonly label: string;
  /** Milliseconds since 1970. */
  readonly lastUsed: number;
  /** By the number that blocks name them with. */
  readonly files: readonly FileIdentity[];
  /** Experts that are here whole, and all of the model; 0 of 0 before they are known. */
  readonly storedExperts: number;
  readonly totalExperts: number;
}

/** Raised when old caches cannot be read any more; they are then emptied. */
export const CACHE_FORMAT = 1;

export function encodeMeta(meta: CacheMeta): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(meta));
}

/** The record, or `undefined` when it is of another format. */
export function parseMeta(bytes: Uint8Array): CacheMeta | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  return isMeta(value) ? value : undefined;
}

function isMeta(value: unknown): value is CacheMeta {
  if (typeof value !== "object" || value === null) return false;
  const { format, label, lastUsed, files, storedExperts, totalExperts } = value as Record<string, unknown>;
  const numbers = [lastUsed, storedExperts, totalExperts].every((each) => typeof each === "number");
  return format === CACHE_FORMAT && typeof label === "string" && numbers && Array.isArray(files) && files.every(isFile);
}

function isFile(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { name, size, version } = value as Record<string, unknown>;
  return typeof name === "string" && Number.isSafeInteger(size) && typeof version === "string";
}
