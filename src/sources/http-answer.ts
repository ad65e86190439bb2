/** One HTTP request and its body: sends, counts, and turns failures into passing and lasting ones. No range logic. */
import { type ErrorMore, type SourceCode, SourceError } from "../errors.ts";
import { humanBytes } from "../util/math.ts";
import type { HttpAddress } from "./http-address.ts";
import { retryAfterMs, TransientFailure } from "./retry.ts";
import type { SourceHooks } from "./source-hooks.ts";
import { watchStall } from "./stall.ts";

/** Statuses by which a signed address says that its time is over. */
const EXPIRED: ReadonlySet<number> = new Set([401, 403, 404, 410]);

/** What a read of a body takes at most: twice what Chromium hands over at a time. */
const CHUNK_BYTES = 128 * 1024;
/** Buffers kept for the next bodies. */
const MOST_IDLE = 32;
const idleBuffers: ArrayBuffer[] = [];

/** What a request asks for. */
export interface Exchange {
  readonly address: HttpAddress;
  readonly hooks: SourceHooks;
  readonly signal: AbortSignal | undefined;
}

/** An answer whose body is still to be read. It ends with the `use` that it was given to. */
export interface Answer {
  readonly label: string;
  readonly response: Response;
  /** What a message adds to status 401 and 403. */
  readonly remedy: string | undefined;
  readonly hooks: SourceHooks;
  /** To be called for every chunk. */
  readonly onChunk: (bytes: number) => void;
}

/**
 * Sends one GET with `headers` and hands the answer to `use`; whatever `use` leaves of the body is cut off.
 * @throws TransientFailure when no answer came or the connection fell silent; what `use` throws.
 */
export async function exchange<T>(
  { address, hooks, signal }: Exchange,
  headers: Readonly<Record<string, string>>,
  use: (answer: Answer) => Promise<T>,
): Promise<T> {
  const watch = watchStall(hooks.stallTimeoutMs, signal, () => address.lastByteAt);
  let { target } = address;
  const ask = (): Promise<Response> => send(address, target, headers, hooks, watch.signal);
  try {
    let response = await ask();
    if (EXPIRED.has(response.status) && target !== address.url) {
      await response.body?.cancel().catch(() => {}); // it may have broken already
      if (address.forget(target)) hooks.onReResolve?.();
      target = address.url;
      response = await ask();
    }
    watch.touch();
    const onChunk = (bytes: number): void => {
      watch.touch();
      address.lastByteAt = performance.now();
      hooks.onBytes?.("network", bytes);
    };
    const result = await use({ label: address.label, response, remedy: address.access.remedy, hooks, onChunk });
    address.learn(response);
    return result;
  } catch (error) {
    if (signal?.aborted || !(error instanceof TransientFailure)) throw error;
    if (address.forget(target)) hooks.onReResolve?.();
    if (!watch.stalled) throw error;
    throw new TransientFailure(`nothing came for ${watch.timeoutMs / 1000} s`);
  } finally {
    watch.end();
  }
}

async function send(
  address: HttpAddress,
  target: string,
  headers: Readonly<Record<string, string>>,
  hooks: SourceHooks,
  signal: AbortSignal,
): Promise<Response> {
  const init: RequestInit = {
    headers: { ...headers, ...address.headersFor(target) },
    // Chromium's HTTP cache locks an address while one response is written, so parallel ranges of one file would wait
    // for each other; and gigabytes of weights would push everything else out of it.
    cache: "no-store",
    signal,
  };
  try {
    return await (hooks.fetch ?? globalThis.fetch)(target, init);
  } catch (error) {
    throw new TransientFailure(`no answer to a request for ${headers.Range ?? "it"} (${reasonOf(error)})`, {
      cause: error,
    });
  }
}

/** `Range` for `length` bytes from `start`. */
export function rangeHeader(start: number, length: number): Readonly<Record<string, string>> {
  return { Range: `bytes=${start}-${start + length - 1}` };
}

/** The error for an answer that is not the `expected` status: passing for overload, lasting for the rest. */
export function statusError({ label, response, remedy }: Answer, expected: number): Error {
  const status = `${response.status} ${response.statusText}`.trim();
  const passing = response.status >= 500 || response.status === 429 || response.status === 408;
  if (passing) {
    const waitMs = retryAfterMs(response.headers.get("retry-after"));
    return new TransientFailure(`the server answered ${status}`, { waitMs, status: response.status });
  }
  const refused = response.status === 401 || response.status === 403;
  const more = refused && remedy !== undefined ? `; ${remedy}` : "";
  const message = `${label}: the server answered ${status} where ${expected} was expected${more}`;
  return new SourceError(message, answeredWith(label, response.status));
}

/** Code and details of an error that a server's `status` says. */
export function answeredWith(source: string, status: number): ErrorMore<SourceCode> {
  const code = status === 401 || status === 403 || status === 404 ? (`http-${status}` as const) : "http-status";
  return { code, details: { source, status } };
}

/**
 * Reads the body into `target` from `position` to its end.
 * @param onPosition told after every chunk how far `target` is filled.
 * @throws TransientFailure when the body ends early; SourceError when it is longer than `target`.
 */
export async function readBody(
  answer: Answer,
  target: Uint8Array<ArrayBuffer>,
  position: number,
  onPosition?: (position: number) => void,
): Promise<void> {
  let at = position;
  await eachChunk(answer, (chunk) => {
    if (at + chunk.length > target.length) {
      throw new SourceError(
        `${answer.label}: expected a body of ${target.length - position} bytes, got more; is the answer compressed on the way?`,
        { details: { source: answer.label } },
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
export async function readWholeBody(answer: Answer, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const { label, response } = answer;
  const declared = Number(response.headers.get("content-length") ?? 0);
  const tooLong = (): SourceError =>
    new SourceError(
      `${label}: the server ignores Range (status 200) and the file is larger than ${humanBytes(maxBytes)}; ` +
        "use a server that supports range requests",
      { code: "range-ignored", details: { source: label } },
    );
  if (declared > maxBytes) throw tooLong();
  const chunks: Uint8Array[] = [];
  let length = 0;
  await eachChunk(answer, (chunk) => {
    length += chunk.length;
    if (length > maxBytes) throw tooLong();
    chunks.push(chunk.slice());
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

/** Hands every chunk to `take`, counting it. A chunk holds its bytes until `take` returns: its buffer is used again. */
async function eachChunk({ response, onChunk }: Answer, take: (chunk: Uint8Array) => void): Promise<void> {
  if (!response.body) return;
  const next = chunksOf(response.body);
  for (;;) {
    const chunk = await next().catch((error: unknown) => {
      throw new TransientFailure(`the connection broke (${reasonOf(error)})`, { cause: error });
    });
    if (!chunk) return;
    onChunk(chunk.length);
    take(chunk);
  }
}

/**
 * Reads of a body, `undefined` at its end. They go into a buffer that one body hands to the next: a browser else makes a
 * new one for every chunk, and of weights that pass through hundreds of megabytes would wait for the garbage collector.
 */
function chunksOf(body: ReadableStream<Uint8Array>): () => Promise<Uint8Array | undefined> {
  const reader = byteReader(body);
  if (!reader) {
    const plain = body.getReader();
    return async () => (await plain.read()).value;
  }
  let buffer = idleBuffers.pop() ?? new ArrayBuffer(CHUNK_BYTES);
  return async () => {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (value) buffer = value.buffer; // the stream took the old one and gave its memory back under a new name
    if (!done) return value;
    if (buffer.byteLength > 0 && idleBuffers.length < MOST_IDLE) idleBuffers.push(buffer);
    return undefined;
  };
}

/** Reader into buffers of ours, where the body can have one: not in every browser. */
function byteReader(body: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
