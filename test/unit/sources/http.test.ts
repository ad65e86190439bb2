/** HTTP range reads against a real server that behaves, and one that misbehaves in every way we know of. */
import { afterEach, describe, expect, test } from "vitest";
import { SourceError } from "../../../src/errors.ts";
import type { ByteSource } from "../../../src/sources/byte-source.ts";
import { openHttp } from "../../../src/sources/http.ts";
import { statHttp } from "../../../src/sources/http-stat.ts";
import { retryAfterMs } from "../../../src/sources/retry.ts";
import type { SourceHooks } from "../../../src/sources/source-hooks.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { FaultyFetch } from "../../fixtures/faulty-fetch.ts";
import { type Behaviour, serveFiles, type TestServer } from "../../fixtures/http-server.ts";
import { Link } from "../../virtual/link.ts";

const BIG = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const PREFIX = 65536;
const servers: TestServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(
  behaviour: Behaviour,
  files: Record<string, Uint8Array> = { "big.bin": BIG },
): Promise<TestServer> {
  const server = await serveFiles(files, behaviour);
  servers.push(server);
  return server;
}

/** Counters with short waits, so that four tries take milliseconds. */
function counters(extra: SourceHooks = {}): { hooks: SourceHooks; bytes: () => number; retries: () => number } {
  let bytes = 0;
  let retries = 0;
  const hooks: SourceHooks = {
    retryDelaysMs: [1, 2, 3],
    onBytes: (origin, count) => {
      expect(origin).toBe("network");
      bytes += count;
    },
    onRetry: () => {
      retries += 1;
    },
    ...extra,
  };
  return { hooks, bytes: () => bytes, retries: () => retries };
}

async function open(server: TestServer, hooks: SourceHooks, name = "big.bin"): Promise<ByteSource> {
  const opened = await openHttp(server.url + name, hooks);
  if ("missing" in opened) throw new Error(opened.missing);
  return opened;
}

/** The same answer with a body that cannot be read into a buffer of the reader's. */
function plainBody({ body, status, headers }: Response): Response {
  const reader = body?.getReader();
  const plain = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const next = await reader?.read();
      if (next?.value) controller.enqueue(next.value);
      else controller.close();
    },
  });
  expect(() => plain.getReader({ mode: "byob" })).toThrow(TypeError);
  return new Response(plain, { status, headers });
}

describe("a server that behaves", () => {
  test("one small range tells size and is kept; later reads ask for just what is missing", async () => {
    const server = await serve({});
    const { hooks, bytes } = counters();
    const source = await open(server, hooks);
    expect(await source.size()).toBe(BIG.length);
    expect(await source.read(10, 20)).toEqual(BIG.slice(10, 30));
    expect(server.requests.map(({ range }) => range)).toEqual([`bytes=0-${PREFIX - 1}`]);
    expect(await source.read(PREFIX - 5, 10)).toEqual(BIG.slice(PREFIX - 5, PREFIX + 5));
    expectEqualBytes(await source.read(200_000, 100_000), BIG.slice(200_000));
    expect(server.requests.slice(1).map(({ range }) => range)).toEqual(["bytes=65536-65540", "bytes=200000-299999"]);
    expect(server.requests.every(({ method }) => method === "GET")).toBe(true);
    expect(bytes()).toBe(PREFIX + 5 + 100_000);
  });

  test("reads of nothing make no request, reads outside the file are refused", async () => {
    const server = await serve({});
    const source = await open(server, {});
    expect(await source.read(250_000, 0)).toEqual(new Uint8Array(0));
    await expect(source.read(299_999, 2)).rejects.toThrow(/bytes 299999 to 300001.*has 300000 bytes/);
    await expect(source.read(-1, 2)).rejects.toThrow(SourceError);
    await expect(source.read(0.5, 2)).rejects.toThrow(SourceError);
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    ["that fill a lent buffer", {}],
    ["that make one for every chunk", { fetch: async (...asked) => plainBody(await fetch(...asked)) }],
  ] satisfies [string, SourceHooks][])(
    "bodies side by side, from streams %s, keep their bytes apart",
    async (_, hooks) => {
      const source = await open(await serve({ link: new Link({ latencyMs: 0, bytesPerSecond: 4e6 }) }), hooks);
      const starts = Array.from({ length: 12 }, (_, i) => PREFIX + 3_000 * i);
      const read = await Promise.all(starts.map((start) => source.read(start, 200_000)));
      read.forEach((bytes, i) => {
        expectEqualBytes(bytes, BIG.slice(starts[i], (starts[i] ?? 0) + 200_000));
      });
    },
  );

  test("what is read belongs to the reader", async () => {
    const source = await open(await serve({}), {});
    (await source.read(0, 4)).fill(0xee);
    expect(await source.read(0, 4)).toEqual(BIG.slice(0, 4));
  });

  test("empty and small files", async () => {
    const server = await serve({}, { "none.bin": new Uint8Array(0), "small.bin": BIG.subarray(0, 10) });
    expect(await (await open(server, {}, "none.bin")).size()).toBe(0);
    expect(await (await open(server, {}, "small.bin")).read(2, 8)).toEqual(BIG.slice(2, 10));
    expect(server.requests).toHaveLength(2);
  });

  test("parallel reads", async () => {
    const source = await open(await serve({ latencyMs: 2 }), {});
    const starts = Array.from({ length: 20 }, (_, i) => 70_000 + i * 1000);
    const parts = await Promise.all(starts.map((start) => source.read(start, 1000)));
    for (const [i, start] of starts.entries()) expect(parts[i]).toEqual(BIG.slice(start, start + 1000));
  });
});

describe("missing files", () => {
  test.each([404, 403])("status %i on the probe is a missing file, not an error", async (status) => {
    const server = await serve({ status });
    expect(await openHttp(`${server.url}big.bin`, {})).toEqual({ missing: `status ${status}`, status });
    expect(server.requests).toHaveLength(1);
  });

  test("a page in place of a file is a missing file", async () => {
    const server = await serve({ pageFallback: true });
    expect(await openHttp(`${server.url}tokenizer.json`, {})).toHaveProperty("missing");
  });

  test.each([401, 410, 400])("status %i fails at once and names address and status", async (status) => {
    const server = await serve({ status });
    await expect(openHttp(`${server.url}big.bin`, counters().hooks)).rejects.toThrow(
      new RegExp(`${server.url}big.bin: the server answered ${status}`),
    );
    expect(server.requests).toHaveLength(1);
  });

  test("404 and 403 after a good probe are errors", async () => {
    for (const status of [404, 403]) {
      const server = await serve({ status, statusFrom: 2 });
      const source = await open(server, counters().hooks);
      await expect(source.read(100_000, 5)).rejects.toThrow(new RegExp(`answered ${status}`));
      expect(server.requests).toHaveLength(2);
    }
  });
});

describe("what a refusal says of a file", () => {
  const COMMIT = "0123456789abcdef0123456789abcdef01234567";

  test("at an address that names a commit, 404 alone says that there is none: that is not asked again", async () => {
    const address = `resolve/${COMMIT}/big.bin`;
    for (const behaviour of [{ status: 403 }, { pageFallback: true }]) {
      const server = await serve(behaviour);
      await expect(openHttp(server.url + address, counters().hooks)).rejects.toThrow(/expected the file or status 404/);
    }
    expect(await openHttp((await serve({})).url + address, {})).toEqual({ missing: "status 404", status: 404 });
  });

  test("asked for size and version, 404 is no file, and 403 is no answer", async () => {
    expect(await statHttp(`${(await serve({})).url}none.bin`, {})).toBeUndefined();
    await expect(statHttp(`${(await serve({ status: 403 })).url}big.bin`, {})).rejects.toThrow(SourceError);
  });

  test("a signed address whose refusal breaks off is asked for again at the first one", async () => {
    const file = { size: BIG.length, read: (offset: number, length: number) => BIG.slice(offset, offset + length) };
    // Every third refusal of this server has a body that is broken when it comes.
    const web = new FaultyFetch({
      files: () => new Map([["big.bin", file]]),
      marks: () => ({}),
      mishap: () => ({}),
      signedFor: 2,
    });
    let again = 0;
    const hooks = { fetch: web.fetch, onReResolve: () => void again++ };
    const source = await openHttp(`${web.origin}big.bin`, hooks);
    if ("missing" in source) throw new Error(source.missing);
    for (let at = 100_000; at < 110_000; at += 1000) {
      expectEqualBytes(await source.read(at, 1000), BIG.slice(at, at + 1000));
    }
    expect(again).toBeGreaterThan(3);
  });

  test("a file that changes while it is read is told by its date where it has no ETag", async () => {
    const file = { size: BIG.length, read: (offset: number, length: number) => BIG.slice(offset, offset + length) };
    let day = 1;
    const web = new FaultyFetch({
      files: () => new Map([["big.bin", file]]),
      marks: () => ({ "last-modified": `Mon, 0${day} Jun 2026 10:00:00 GMT` }),
      mishap: () => ({}),
    });
    const source = await openHttp(`${web.origin}big.bin`, { fetch: web.fetch });
    if ("missing" in source) throw new Error(source.missing);
    expectEqualBytes(await source.read(100_000, 1000), BIG.slice(100_000, 101_000));
    day = 2;
    await expect(source.read(101_000, 1000)).rejects.toThrow(/changed on the server.*01 Jun.*02 Jun.*load again/s);
  });
});

describe("a server that ignores Range", () => {
  test("a small file is taken whole, once", async () => {
    for (const extra of [{}, { chunked: true }, { gzip: true }]) {
      const server = await serve({ ignoreRange: true, ...extra });
      const { hooks, bytes } = counters();
      const source = await open(server, hooks);
      expect(await source.size()).toBe(BIG.length);
      expect(await source.read(123_456, 1000)).toEqual(BIG.slice(123_456, 124_456));
      expect(server.requests).toHaveLength(1);
      expect(bytes()).toBe(BIG.length);
    }
  });

  test.each([{}, { chunked: true }])("a large file is refused with the remedy (%o)", async (extra) => {
    const server = await serve({ ignoreRange: true, ...extra }, { "big.bin": new Uint8Array(9 * 1024 * 1024) });
    await expect(openHttp(`${server.url}big.bin`, counters().hooks)).rejects.toThrow(
      /ignores Range.*larger than 8 MiB.*supports range requests/,
    );
    expect(server.requests).toHaveLength(1);
  });

  test("a whole file that dies midway is asked for again", async () => {
    const server = await serve({ ignoreRange: true, failAfterBytes: 1000 });
    const { hooks, retries } = counters();
    expectEqualBytes(await (await open(server, hooks)).read(0, BIG.length), BIG);
    expect(retries()).toBe(1);
  });

  test("200 after a good probe is an error", async () => {
    const fetchOnce: typeof fetch = async (url, init) => {
      const headers = new Headers(init?.headers);
      if (headers.get("range") !== `bytes=0-${PREFIX - 1}`) headers.delete("range");
      return fetch(url, { ...init, headers });
    };
    const source = await open(await serve({}), counters({ fetch: fetchOnce }).hooks);
    await expect(source.read(100_000, 10)).rejects.toThrow(/ignores Range/);
  });
});

describe("passing failures", () => {
  test.each([500, 503, 429, 408])("status %i is retried", async (status) => {
    const server = await serve({ status, statusTimes: 2 });
    const { hooks, retries } = counters();
    expect(await (await open(server, hooks)).size()).toBe(BIG.length);
    expect(retries()).toBe(2);
  });

  test("after the last try the error says what happened and how often", async () => {
    const server = await serve({ status: 503 });
    const { hooks, retries } = counters();
    await expect(openHttp(`${server.url}big.bin`, hooks)).rejects.toThrow(/answered 503.*gave up after 4 tries/);
    expect(retries()).toBe(3);
    expect(server.requests).toHaveLength(4);
  });

  test("a body that dies midway goes on from the byte reached", async () => {
    const server = await serve({ failAfterBytes: 100_000, failures: 2 });
    const { hooks, retries, bytes } = counters();
    const source = await open(server, hooks);
    expectEqualBytes(await source.read(0, BIG.length), BIG);
    const starts = server.requests.map(({ range }) => Number(/=(\d+)/.exec(range ?? "")?.[1]));
    expect(starts[1]).toBe(PREFIX);
    expect(starts[2]).toBeGreaterThan(PREFIX);
    expect(retries()).toBe(server.requests.length - 2);
    expect(bytes()).toBe(BIG.length);
  });

  test("no server at all", async () => {
    const server = await serve({});
    await server.close();
    await expect(openHttp(`${server.url}big.bin`, counters().hooks)).rejects.toThrow(
      /no answer.*gave up after 4 tries/,
    );
  });

  test("no retries when none are wanted", async () => {
    const server = await serve({ status: 500 });
    await expect(openHttp(`${server.url}big.bin`, { retryDelaysMs: [] })).rejects.toThrow(/gave up after 1 try\b/);
  });
});

describe("a connection that falls silent", () => {
  /** Request number `request` stalls after a share of its body. */
  const stalls = (request: number, share: number): Behaviour => ({
    mishap: (n) => (n === request ? { stop: { kind: "stall", share } } : {}),
  });

  test.each<[string, Behaviour]>([
    ["before it answers", { mishap: (n) => (n === 1 ? { delayMs: 3000 } : {}) }],
    ["in mid-body", stalls(1, 0.02)],
  ])("%s: it is cut, and the rest is asked for", async (_, behaviour) => {
    const server = await serve(behaviour);
    const { hooks, retries } = counters({ stallTimeoutMs: 500 });
    expectEqualBytes(await (await open(server, hooks)).read(0, BIG.length), BIG);
    expect(retries()).toBe(1);
  });

  test("a read goes on from the byte reached", async () => {
    const server = await serve(stalls(2, 0.5));
    const { hooks, bytes } = counters({ stallTimeoutMs: 500 });
    expectEqualBytes(await (await open(server, hooks)).read(0, BIG.length), BIG);
    expect(Number(/=(\d+)/.exec(server.requests[2]?.range ?? "")?.[1])).toBeGreaterThan(PREFIX);
    expect(bytes()).toBe(BIG.length);
  });

  test("for ever: the error says for how long", async () => {
    const server = await serve({ latencyMs: 3000 });
    const { hooks } = counters({ stallTimeoutMs: 50 });
    await expect(openHttp(`${server.url}big.bin`, hooks)).rejects.toThrow(
      /nothing came for 0.05 s; gave up after 4 tr/,
    );
  });

  test("a slow answer is not a dead one", async () => {
    const server = await serve({ latencyMs: 60 });
    const { hooks, retries } = counters({ stallTimeoutMs: 1000 });
    await (await open(server, hooks)).read(100_000, 10);
    expect(retries()).toBe(0);
  });
});

describe("Retry-After", () => {
  test("is waited for", async () => {
    const server = await serve({ mishap: (n) => (n === 1 ? { status: { code: 429, retryAfterSeconds: 1 } } : {}) });
    const started = performance.now();
    await open(server, counters().hooks);
    expect(performance.now() - started).toBeGreaterThan(950);
  });

  test("seconds, dates, nonsense, and too much", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(retryAfterMs("3", now)).toBe(3000);
    expect(retryAfterMs("Thu, 01 Jan 2026 00:00:05 GMT", now)).toBe(5000);
    for (const value of [null, "", "soon", "-1", "Wed, 31 Dec 2025 00:00:00 GMT"])
      expect(retryAfterMs(value, now)).toBe(0);
    expect(retryAfterMs("86400", now)).toBe(60_000);
  });
});

test("secrets in an address stay out of messages, versions name the bytes", async () => {
  const server = await serve({ etag: () => '"v1"' });
  const source = await openHttp(`${server.url}big.bin?signature=secret`, {});
  expect(source).toMatchObject({ label: `${server.url}big.bin`, version: '"v1" 300000' });
  const failing = await serve({ status: 400 });
  await expect(openHttp(`${failing.url}big.bin?signature=secret`, {})).rejects.not.toThrow(/secret/);
});

describe("answers that contradict the request", () => {
  const cases: [string, Behaviour, RegExp][] = [
    ["no Content-Range", { contentRange: () => undefined }, /expected a Content-Range.*Access-Control-Expose-Headers/],
    ["malformed", { contentRange: () => "bytes lots" }, /expected a Content-Range of one range, got bytes lots/],
    ["another start", { contentRange: (real) => real.replace("bytes 0-", "bytes 1-") }, /asked for bytes from 0/],
    ["another end", { contentRange: (real) => real.replace(/-\d+/, "-100") }, /ending at byte 65535.*ending at 100/],
    ["no total", { contentRange: (real) => real.replace(/\d+$/, "*") }, /does not tell the file's size/],
    ["a body too long", { bodyDelta: 3, chunked: true }, /expected a body of 65536 bytes, got more/],
    ["a body too short", { bodyDelta: -3, chunked: true }, /body ended after 65533 of 65536 bytes.*gave up/],
    ["a Content-Length too long", { mishap: () => ({ stop: { kind: "stall", share: 0.9 } }) }, /gave up after 4 tries/],
    ["compressed", { gzip: true }, /gzip-compressed/],
  ];
  test.each(cases)("%s", async (_, behaviour, message) => {
    const server = await serve(behaviour);
    const failure = openHttp(`${server.url}big.bin`, counters({ stallTimeoutMs: 200 }).hooks);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(SourceError);
  });

  test("the file changes while it is read: ETag", async () => {
    const source = await open(await serve({ etag: (n) => `"v${n}"` }), counters().hooks);
    await expect(source.read(100_000, 5)).rejects.toThrow(/changed on the server.*"v1".*"v2"/);
  });

  test("the file changes while it is read: size", async () => {
    const grown = (real: string, n: number): string => (n > 1 ? real.replace(/\d+$/, "300001") : real);
    const source = await open(await serve({ contentRange: grown }), counters().hooks);
    await expect(source.read(100_000, 5)).rejects.toThrow(/changed on the server.*300001 bytes/);
  });

  test("the same ETag is no change", async () => {
    const source = await open(await serve({ etag: () => 'W/"same"' }), counters().hooks);
    expect(await source.read(100_000, 5)).toEqual(BIG.slice(100_000, 100_005));
  });
});

describe("codes and details of what fails", () => {
  const failureOf = async (url: string, hooks = counters().hooks): Promise<unknown> =>
    openHttp(url, hooks).catch((error: unknown) => error);

  test.each([
    [401, "http-401"],
    [410, "http-status"],
  ])("status %i", async (status, code) => {
    const source = `${(await serve({ status })).url}big.bin`;
    expect(await failureOf(`${source}?token=secret`)).toMatchObject({ code, details: { status, source } });
  });

  test("status 503 to the last try", async () => {
    const failure = await failureOf(`${(await serve({ status: 503 })).url}big.bin`);
    expect(failure).toMatchObject({ code: "http-status", details: { status: 503, tries: 4 } });
  });

  test("no answer: the network's fault, or ours when the host is offline; the platform's error is the cause", async () => {
    const gone = await serve({});
    await gone.close();
    const url = `${gone.url}big.bin`;
    const failure = await failureOf(url);
    expect(failure).toMatchObject({ code: "network", details: { source: url, tries: 4 } });
    expect((failure as Error).cause).toBeInstanceOf(TypeError);
    const offline = await failureOf(url, counters({ isOffline: () => true }).hooks);
    expect(offline).toMatchObject({ code: "offline", message: expect.stringMatching(/offline: connect it/) });
  });

  test("a file that changed, and a server without ranges", async () => {
    const changing = await open(await serve({ etag: (n) => `"v${n}"` }), counters().hooks);
    await expect(changing.read(100_000, 5)).rejects.toMatchObject({ code: "file-changed" });
    const large = { "big.bin": new Uint8Array(9 * 2 ** 20) };
    const whole = await serve({ ignoreRange: true }, large);
    expect(await failureOf(`${whole.url}big.bin`)).toMatchObject({ code: "range-ignored" });
  });
});

describe("abort", () => {
  const aborted = { name: "AbortError" };

  test("before, during the answer, during the body and during the wait for a retry", async () => {
    await expect(openHttp((await serve({})).url, {}, AbortSignal.abort())).rejects.toMatchObject(aborted);

    const slow = await serve({ latencyMs: 5000 });
    const first = new AbortController();
    const waiting = openHttp(`${slow.url}big.bin`, {}, first.signal);
    setTimeout(() => first.abort(), 20);
    await expect(waiting).rejects.toMatchObject(aborted);

    const failing = await serve({ status: 503 });
    const second = new AbortController();
    const started = performance.now();
    const retrying = openHttp(`${failing.url}big.bin`, { retryDelaysMs: [60_000] }, second.signal);
    await expect.poll(() => failing.requests.length).toBe(1);
    setTimeout(() => second.abort(new Error("enough")), 50);
    await expect(retrying).rejects.toMatchObject({ name: "AbortError", message: "enough" });
    expect(performance.now() - started).toBeLessThan(5000);
    expect(failing.requests).toHaveLength(1);

    const source = await open(await serve({}), {});
    const third = new AbortController();
    const reading = source.read(70_000, 200_000, third.signal);
    third.abort();
    await expect(reading).rejects.toMatchObject(aborted);
    await expect(source.read(0, 1, third.signal)).rejects.toMatchObject(aborted);
    await expect(source.size(third.signal)).rejects.toMatchObject(aborted);
  });
});
