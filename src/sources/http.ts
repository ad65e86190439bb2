/**
 * A file on a server, read by HTTP range requests. There is no HEAD request (signed and cross-origin addresses often
 * refuse it): the first range, kept as a prefix because a header is what is read next, also tells size and identity.
 * Every answer is checked against what was asked. Nothing is cached beyond that prefix.
 */
import { SourceError } from "../errors.ts";
import { throwIfAborted } from "../util/abort.ts";
import { humanBytes } from "../util/math.ts";
import type { ByteSource } from "./byte-source.ts";
import { checkRange } from "./check-range.ts";
import { type ContentRange, parseContentRange, parseUnsatisfiedTotal } from "./content-range.ts";
import { type HttpAccess, HttpAddress } from "./http-address.ts";
import {
  type Answer,
  answeredWith,
  type Exchange,
  exchange,
  rangeHeader,
  readBody,
  readWholeBody,
  statusError,
} from "./http-answer.ts";
import { isImmutable, versionOf } from "./http-stat.ts";
import { memorySource } from "./memory.ts";
import { withRetries } from "./retry.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** First range asked for: holds the header of a small file, and costs one round trip like any other. */
const PROBE_BYTES = 64 * 1024;

/** Largest file taken whole from a server that ignores Range; configs and tokenizers are smaller, weights are not. */
const MAX_WHOLE_BYTES = 8 * 1024 * 1024;

/** What the probe learnt about the file; later answers must agree. */
interface Identity {
  readonly total: number;
  /** `null` when the server sends none or CORS hides it. */
  readonly etag: string | null;
  /** Modification date, which counts where there is no ETag; `null` likewise. */
  readonly date: string | null;
}

/** A failed probe that means "the folder has no such file" rather than trouble. */
export interface Missing {
  readonly missing: string;
  /** As an error should say it: 404 for a page in the place of the file too. */
  readonly status: number;
}

/**
 * Opens the file at `url` with one small range request.
 * @returns the source, or `Missing` with the reason when the server has no such file (404, 403, or a page instead).
 * @throws SourceError for any other failure; `AbortError`.
 */
export async function openHttp(
  url: string,
  hooks: SourceHooks,
  signal?: AbortSignal,
  access?: HttpAccess,
): Promise<ByteSource | Missing> {
  const address = new HttpAddress(url, access);
  const { label } = address;
  return withRetries(label, hooks, signal, () =>
    exchange({ address, hooks, signal }, rangeHeader(0, PROBE_BYTES), async (answer) => {
      const { response } = answer;
      const missing = missingReason(response);
      if (missing !== undefined) {
        // What a commit lacks is remembered without asking again, so nothing but 404 may say it.
        if (isImmutable(url) && response.status !== 404) throw refusal(answer, missing);
        return { missing, status: response.ok ? 404 : response.status };
      }
      if (response.status === 200) {
        const bytes = await readWholeBody(answer, MAX_WHOLE_BYTES);
        return withVersion(memorySource(label, bytes, hooks, null), versionOf(response, bytes.length));
      }
      if (response.status === 416 && parseUnsatisfiedTotal(response.headers.get("content-range")) === 0) {
        return memorySource(label, new ArrayBuffer(0), hooks, null);
      }
      return openRanged(address, answer);
    }),
  );
}

async function openRanged(address: HttpAddress, answer: Answer): Promise<ByteSource> {
  const { response, hooks } = answer;
  const range = checkedRange(answer, 0);
  if (range.total === undefined) {
    throw new SourceError(`${address.label}: the server does not tell the file's size (Content-Range ends in "/*")`, {
      details: { source: address.label },
    });
  }
  const expected = Math.min(PROBE_BYTES, range.total);
  checkEnd(answer, range, expected - 1);
  const prefix = new Uint8Array(expected);
  await readBody(answer, prefix, 0);
  const identity = { total: range.total, ...marksOf(response) };
  return withVersion(rangedSource(address, identity, prefix, hooks), versionOf(response, range.total));
}

function withVersion(source: ByteSource, version: string | undefined): ByteSource {
  return version === undefined ? source : { ...source, version };
}

function rangedSource(
  address: HttpAddress,
  identity: Identity,
  prefix: Uint8Array<ArrayBuffer>,
  hooks: SourceHooks,
): ByteSource {
  const { label } = address;
  return {
    label,
    size: async (signal) => {
      throwIfAborted(signal);
      return identity.total;
    },
    read: async (offset, length, signal) => {
      throwIfAborted(signal);
      checkRange(label, identity.total, offset, length);
      if (length === 0) return new Uint8Array(0);
      if (offset + length <= prefix.length) return prefix.slice(offset, offset + length);
      const bytes = new Uint8Array(length);
      const known = prefix.subarray(offset);
      bytes.set(known);
      await fillRange({ address, hooks, signal }, identity, offset, bytes, known.length);
      return bytes;
    },
  };
}

/** Fills `bytes` from `reached` on; a retry goes on from the byte reached, so nothing arrives twice. */
async function fillRange(
  to: Exchange,
  identity: Identity,
  offset: number,
  bytes: Uint8Array<ArrayBuffer>,
  reached: number,
): Promise<void> {
  let filled = reached;
  await withRetries(to.address.label, to.hooks, to.signal, () => {
    const start = offset + filled;
    return exchange(to, rangeHeader(start, bytes.length - filled), async (answer) => {
      const range = checkedRange(answer, start);
      checkEnd(answer, range, offset + bytes.length - 1);
      checkIdentity(answer, range, identity);
      await readBody(answer, bytes, filled, (position) => {
        filled = position;
      });
    });
  });
}

/** Why an answer to a probe means that there is no such file, or `undefined` when it does not. */
function missingReason(response: Response): string | undefined {
  if (response.status === 404 || response.status === 403) return `status ${response.status}`;
  // Development servers answer an unknown path with the application's page. No checkpoint file is a page.
  const isPage = response.ok && response.headers.get("content-type")?.startsWith("text/html");
  return isPage ? `status ${response.status} with a page (text/html)` : undefined;
}

function refusal({ label, remedy, response }: Answer, reason: string): SourceError {
  const more = remedy === undefined ? "" : `; ${remedy}`;
  return new SourceError(
    `${label}: expected the file or status 404, the server answered ${reason}${more}`,
    answeredWith(label, response.ok ? 404 : response.status),
  );
}

/** The Content-Range of a 206 that begins at `start`. @throws TransientFailure or SourceError for any other answer. */
function checkedRange(answer: Answer, start: number): ContentRange {
  const { label, response } = answer;
  if (response.status === 200) {
    throw new SourceError(
      `${label}: the server ignores Range (status 200 where 206 was expected); use a server that supports range requests`,
      { code: "range-ignored", details: { source: label } },
    );
  }
  if (response.status !== 206) throw statusError(answer, 206);
  const encoding = response.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    throw new SourceError(`${label}: the server sent a range of a ${encoding}-compressed file; turn compression off`, {
      details: { source: label },
    });
  }
  const field = response.headers.get("content-range");
  const range = parseContentRange(field);
  if (!range) {
    const remedy = "across origins the server must send Access-Control-Expose-Headers: Content-Range";
    throw new SourceError(`${label}: expected a Content-Range of one range, got ${field ?? "none"}; ${remedy}`, {
      details: { source: label },
    });
  }
  if (range.start === start && range.end >= start) return range;
  throw new SourceError(`${label}: asked for bytes from ${start}, got Content-Range ${field ?? ""}`, {
    details: { source: label },
  });
}

/** @throws SourceError unless the answered range ends at byte `end`. */
function checkEnd({ label }: Answer, range: ContentRange, end: number): void {
  if (range.end === end) return;
  throw new SourceError(`${label}: expected a range ending at byte ${end}, got Content-Range ending at ${range.end}`, {
    details: { source: label },
  });
}

/**
 * @throws SourceError when size or ETag (else date) are no longer those of the probe. Compared here and not left to
 * `If-Range`, because that field makes a cross-origin request need a preflight, and `Range` alone does not.
 */
function checkIdentity({ label, response }: Answer, range: ContentRange, identity: Identity): void {
  const now = marksOf(response);
  const kind = now.etag !== null && identity.etag !== null ? "etag" : "date";
  const sameMark = now[kind] === null || identity[kind] === null || now[kind] === identity[kind];
  const sameSize = range.total === undefined || range.total === identity.total;
  if (sameMark && sameSize) return;
  throw new SourceError(
    `${label}: the file changed on the server while it was read (${humanBytes(identity.total)}, ETag or date ` +
      `${identity[kind] ?? "none"}; now ${range.total ?? "unknown"} bytes, ${now[kind] ?? "none"}); load again`,
    { code: "file-changed", details: { source: label } },
  );
}

function marksOf({ headers }: Response): Pick<Identity, "etag" | "date"> {
  return { etag: headers.get("etag"), date: headers.get("last-modified") };
}
