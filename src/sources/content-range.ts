/** Reads the header fields of an answer to a range request. It judges nothing; `http.ts` does. */

/** `Content-Range: bytes start-end/total`, `end` inclusive; `total` is `undefined` for `*`. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total: number | undefined;
}

/** The parsed field, or `undefined` when it is missing, hidden by CORS or malformed. */
export function parseContentRange(value: string | null): ContentRange | undefined {
  const match = /^\s*bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i.exec(value ?? "");
  if (!match) return undefined;
  const [, start, end, total] = match;
  return { start: Number(start), end: Number(end), total: total === "*" ? undefined : Number(total) };
}

/** The total of an "unsatisfied" range (`bytes *` + `/total`, sent with status 416), or `undefined`. */
export function parseUnsatisfiedTotal(value: string | null): number | undefined {
  const match = /^\s*bytes\s+\*\/(\d{1,15})\s*$/i.exec(value ?? "");
  return match ? Number(match[1]) : undefined;
}
