/** One HTTP request and its body: sends, counts, and turns failures into passing and lasting ones. No range logic. */
import { SourceError } from "../errors.ts";
import { humanBytes } from "../util/math.ts";
import { TransientFailure } from "./retry.ts";
import type { SourceHooks } from "./source-hooks.ts";

/**
 * Sends one GET for `length` bytes from `start`.
 * @throws TransientFailure when no answer came; an abort is thrown as `fetch` throws it.
 */
export async function request(
  url: string,
  start: number,
  length: number,
  hooks: SourceHooks,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const send = hooks.fetch ?? globalThis.fetch;
  const init: RequestInit = {
    headers: { Range: `bytes=${start}-${start + length - 1}` },
    // Chromium's HTTP cache locks an address while one response is written, so parallel ranges of one file would wait
    // for each other; and gigabytes of weights would push everything else out of it.
    cache: "no-store",
    ...(signal ? { signal } : {}),
  };
  try {
    return await send(url, init);
  } catch (error) {
    throw new TransientFailure(`no answer to a request for ${length} bytes at ${start} (${reasonOf(error)})`);
  }
}

/** The error for an answer that is neither 200 nor 206: passing for overload, lasting for the rest. */
export function statusError(url: string, response: Response): Error {
  const status = `${response.status} ${response.statusText}`.trim();
  const passing = response.status >= 500 || response.status === 429 || response.status === 408;
  if (passing) return new TransientFailure(`the server answered ${status}`);
  return new SourceError(`${url}: the server answered ${status} where 206 was expected`);
}

/**
 * Reads the body into `target` from `position` to its end.
 * @param onPosition told after every chunk how far `target` is filled.
 * @throws TransientFailure when the body ends early; SourceError when it is longer than `target`.
 */
export async function readBody(
  url: string,
  response: Response,
  target: Uint8Array<ArrayBuffer>,
  position: number,
  hooks: SourceHooks,
  onPosition?: (position: number) => void,
): Promise<void> {
  let at = position;
  await eachChunk(response, hooks, (chunk) => {
    if (at + chunk.length > target.length) {
      throw new SourceError(
        `${url}: expected a body of ${target.length - position} bytes, got more; is the answer compressed on the way?`,
      );
    }
    target.set(chunk, at);
    at += chunk.length;
    onPosition?.(at);
  });
  if (at < target.length) {
    throw new TransientFailure(`the body ended after ${at - position} of ${target.length - position} bytes`);
  }
}

/** The whole body of a 200 answer. @throws SourceError when it is longer than `maxBytes`. */
export async function readWholeBody(
  url: string,
  response: Response,
  maxBytes: number,
  hooks: SourceHooks,
): Promise<Uint8Array<ArrayBuffer>> {
  const declared = Number(response.headers.get("content-length") ?? 0);
  const tooLong = (): SourceError =>
    new SourceError(
      `${url}: the server ignores Range (status 200) and the file is larger than ${humanBytes(maxBytes)}; ` +
        "use a server that supports range requests",
    );
  if (declared > maxBytes) {
    await response.body?.cancel();
    throw tooLong();
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  await eachChunk(response, hooks, (chunk) => {
    length += chunk.length;
    if (length > maxBytes) throw tooLong();
    chunks.push(chunk);
  });
  const encoded = response.headers.get("content-encoding");
  if (length < declared && (encoded === null || encoded === "identity")) {
    throw new TransientFailure(`the body ended after ${length} of ${declared} bytes`);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Hands every chunk to `take`, counting it; when `take` throws, the rest of the body is cancelled. */
async function eachChunk(response: Response, hooks: SourceHooks, take: (chunk: Uint8Array) => void): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw new TransientFailure(`the connection broke (${reasonOf(error)})`);
    });
    if (done) return;
    hooks.onBytes?.("network", value.length);
    try {
      take(value);
    } catch (error) {
      await reader.cancel().catch(() => undefined);
      throw error;
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
