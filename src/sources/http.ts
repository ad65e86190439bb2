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
import { readBody, readWholeBody, request, statusError } from "./http-answer.ts";
import { versionOf } from "./http-stat.ts";
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
}

/** A failed probe that means "the folder has no such file" rather than trouble. */
export interface Missing {
  readonly missing: string;
}

/**
 * Opens the file at `url` with one small range request.
 * @returns the source, or `Missing` with the reason when the server has no such file (404, 403, or a page instead).
 * @throws SourceError for any other failure; `AbortError`.
 */
export async function openHttp(url: string, hooks: SourceHooks, signal?: AbortSignal): Promise<ByteSource | Missing> {
  return withRetries(url, hooks, signal, async () => {
    const response = await request(url, 0, PROBE_BYTES, hooks, signal);
    const missing = await missingReason(response);
    if (missing !== undefined) return { missing };
    if (response.status === 200) {
      return memorySource(url, await readWholeBody(url, response, MAX_WHOLE_BYTES, hooks), hooks, null);
    }
    if (response.status === 416 && parseUnsatisfiedTotal(response.headers.get("content-range")) === 0) {
      await response.body?.cancel();
      return memorySource(url, new ArrayBuffer(0), hooks, null);
    }
    return openRanged(url, response, hooks);
  });
}

async function openRanged(url: string, response: Response, hooks: SourceHooks): Promise<ByteSource> {
  const range = await checkedRange(url, response, 0);
  if (range.total === undefined) {
    await response.body?.cancel();
    throw new SourceError(`${url}: the server does not tell the file's size (Content-Range ends in "/*")`);
  }
  const expected = Math.min(PROBE_BYTES, range.total);
  await checkEnd(url, response, range, expected - 1);
  const prefix = new Uint8Array(expected);
  await readBody(url, response, prefix, 0, hooks);
  const source = rangedSource(url, { total: range.total, etag: response.headers.get("etag") }, prefix, hooks);
  return { ...source, version: versionOf(response) };
}

function rangedSource(
  url: string,
  identity: Identity,
  prefix: Uint8Array<ArrayBuffer>,
  hooks: SourceHooks,
): ByteSource {
  return {
    label: url,
    size: async (signal) => {
      throwIfAborted(signal);
      return identity.total;
    },
    read: async (offset, length, signal) => {
      throwIfAborted(signal);
      checkRange(url, identity.total, offset, length);
      if (length === 0) return new Uint8Array(0);
      if (offset + length <= prefix.length) return prefix.slice(offset, offset + length);
      const bytes = new Uint8Array(length);
      const known = prefix.subarray(offset);
      bytes.set(known);
      await fillRange(url, identity, offset, bytes, known.length, hooks, signal);
      return bytes;
    },
  };
}

/** Fills `bytes` from `reached` on; a retry goes on from the byte reached, so nothing arrives twice. */
async function fillRange(
  url: string,
  identity: Identity,
  offset: number,
  bytes: Uint8Array<ArrayBuffer>,
  reached: number,
  hooks: SourceHooks,
  signal: AbortSignal | undefined,
): Promise<void> {
  let filled = reached;
  await withRetries(url, hooks, signal, async () => {
    const start = offset + filled;
    const response = await request(url, start, bytes.length - filled, hooks, signal);
    const range = await checkedRange(url, response, start);
    await checkEnd(url, response, range, offset + bytes.length - 1);
    await checkIdentity(url, response, range, identity);
    await readBody(url, response, bytes, filled, hooks, (position) => {
      filled = position;
    });
  });
}

/** Why an answer to a probe means that there is no such file, or `undefined` when it does not. */
async function missingReason(response: Response): Promise<string | undefined> {
  let reason: string | undefined;
  if (response.status === 404 || response.status === 403) reason = `status ${response.status}`;
  // Development servers answer an unknown path with the application's page. No checkpoint file is a page.
  else if (response.ok && response.headers.get("content-type")?.startsWith("text/html")) {
    reason = `status ${response.status} with a page (text/html)`;
  }
  if (reason !== undefined) await response.body?.cancel();
  return reason;
}

/** The Content-Range of a 206 that begins at `start`. @throws TransientFailure or SourceError for any other answer. */
async function checkedRange(url: string, response: Response, start: number): Promise<ContentRange> {
  const problem = rangeProblem(url, response, start);
  const range = parseContentRange(response.headers.get("content-range"));
  if (problem === undefined && range) return range;
  await response.body?.cancel();
  throw problem ?? new SourceError(`${url}: malformed Content-Range`);
}

function rangeProblem(url: string, response: Response, start: number): Error | undefined {
  if (response.status === 200) {
    return new SourceError(
      `${url}: the server ignores Range (status 200 where 206 was expected); use a server that supports range requests`,
    );
  }
  if (response.status !== 206) return statusError(url, response);
  const encoding = response.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    return new SourceError(`${url}: the server sent a range of a ${encoding}-compressed file; turn compression off`);
  }
  const field = response.headers.get("content-range");
  const range = parseContentRange(field);
  if (!range) {
    const remedy = "across origins the server must send Access-Control-Expose-Headers: Content-Range";
    return new SourceError(`${url}: expected a Content-Range of one range, got ${field ?? "none"}; ${remedy}`);
  }
  if (range.start === start && range.end >= start) return undefined;
  return new SourceError(`${url}: asked for bytes from ${start}, got Content-Range ${field ?? ""}`);
}

/** @throws SourceError unless the answered range ends at byte `end`. */
async function checkEnd(url: string, response: Response, range: ContentRange, end: number): Promise<void> {
  if (range.end === end) return;
  await response.body?.cancel();
  throw new SourceError(`${url}: expected a range ending at byte ${end}, got Content-Range ending at ${range.end}`);
}

/**
 * @throws SourceError when size or ETag are no longer those of the probe. Compared here and not left to `If-Range`,
 * because that field makes a cross-origin request need a preflight, and `Range` alone does not.
 */
async function checkIdentity(url: string, response: Response, range: ContentRange, identity: Identity): Promise<void> {
  const etag = response.headers.get("etag");
  const sameEtag = etag === null || identity.etag === null || etag === identity.etag;
  const sameSize = range.total === undefined || range.total === identity.total;
  if (sameEtag && sameSize) return;
  await response.body?.cancel();
  throw new SourceError(
    `${url}: the file changed on the server while it was read (${humanBytes(identity.total)}, ETag ` +
      `${identity.etag ?? "none"}; now ${range.total ?? "unknown"} bytes, ETag ${etag ?? "none"}); load again`,
  );
}
