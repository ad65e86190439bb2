/** The fault schedule, and what server and in-process source make of it. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { SourceError } from "../../../src/errors.ts";
import { openHttp } from "../../../src/sources/http.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { type Behaviour, serveFiles, type TestServer } from "../../fixtures/http-server.ts";
import { type Mishap, mishapAt, parseFaults } from "../../virtual/faults.ts";
import { Link } from "../../virtual/link.ts";
import { fileOf } from "../../virtual/range-file.ts";
import { virtualFileSet } from "../../virtual/source.ts";

vi.setConfig({ testTimeout: 60_000 }); // a second's work for one machine alone is many for one that is shared

const BIG = Uint8Array.from({ length: 400_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const servers: TestServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(behaviour: Behaviour): Promise<TestServer> {
  const server = await serveFiles({ "big.bin": BIG }, behaviour);
  servers.push(server);
  return server;
}

/** One range of the file, from a server whose first answer goes wrong like this. */
async function get(mishap: Mishap, init: RequestInit = {}): Promise<Response> {
  const server = await serve({ mishap: (request) => (request === 1 ? mishap : {}) });
  return fetch(`${server.url}big.bin`, { headers: { range: "bytes=1000-300999" }, ...init });
}

describe("the schedule", () => {
  const all =
    "seed=3,after=10,delay=0.1,reorder=0.1,corrupt=0.1,cut=0.1,truncate=0.1,stall=0.1,429=0.1,500=0.1,403=0.05";

  test("is a function of plan and request alone, spares the first requests, and keeps the rates", () => {
    const plan = parseFaults(all);
    const mishaps = Array.from({ length: 5000 }, (_, i) => mishapAt(plan, i + 1));
    expect(mishaps).toEqual(mishaps.map((_, i) => mishapAt(parseFaults(all), i + 1)));
    expect(mishaps.slice(0, 10).every((mishap) => Object.keys(mishap).length === 0)).toBe(true);
    const count = (has: (mishap: Mishap) => unknown) => mishaps.filter((mishap) => has(mishap)).length / 5000;
    expect(count(({ delayMs }) => delayMs)).toBeCloseTo(0.1, 1);
    expect(count(({ status }) => status?.code === 403)).toBeCloseTo(0.05, 1);
    for (const kind of ["cut", "truncate", "stall"])
      expect(count(({ stop }) => stop?.kind === kind)).toBeGreaterThan(0.03);
    expect(count(({ corrupt }) => corrupt)).toBeGreaterThan(0.02);
    expect(mishaps.every(({ status, stop, corrupt }) => [status, stop, corrupt].filter(Boolean).length <= 1)).toBe(
      true,
    );
    expect(mishapAt(parseFaults(all.replace("seed=3", "seed=4")), 50)).not.toEqual(undefined);
    const other = parseFaults(all.replace("seed=3", "seed=4"));
    expect(mishaps.map((_, i) => mishapAt(other, i + 1))).not.toEqual(mishaps);
  });

  test.each(["cut=2", "cut", "wings=0.1", "429=-1", "seed=x"])("%s is refused", (text) => {
    expect(() => parseFaults(text)).toThrow(RangeError);
  });
});

describe("the server", () => {
  test("statuses, with the wait that belongs to them", async () => {
    const busy = await get({ status: { code: 429, retryAfterSeconds: 2 } });
    expect([busy.status, busy.headers.get("retry-after")]).toEqual([429, "2"]);
    const whole = await get({ status: { code: 200 } });
    expect([whole.status, (await whole.arrayBuffer()).byteLength]).toEqual([200, BIG.length]);
  });

  test("early ends: broken, as if whole, silent", async () => {
    await expect((await get({ stop: { kind: "cut", share: 0.5 } })).arrayBuffer()).rejects.toThrow();
    const short = await (await get({ stop: { kind: "truncate", share: 0.5 } })).arrayBuffer();
    expect(short.byteLength).toBe(150_000);
    const stop = new AbortController();
    const silent = await get({ stop: { kind: "stall", share: 0.5 } }, { signal: stop.signal });
    setTimeout(() => stop.abort(), 100);
    await expect(silent.arrayBuffer()).rejects.toMatchObject({ name: "AbortError" });
  });

  test("one byte is another", async () => {
    const bytes = new Uint8Array(await (await get({ corrupt: { share: 0.5, mask: 0x40 } })).arrayBuffer());
    const wrong = [...bytes.keys()].filter((i) => bytes[i] !== BIG[1000 + i]);
    expect(wrong).toEqual([150_000]);
    expect(bytes[150_000]).toBe(BIG[151_000]! ^ 0x40);
  });

  test("a held answer is overtaken", async () => {
    const server = await serve({ mishap: (request) => (request === 1 ? { reorder: true } : {}) });
    const order: string[] = [];
    const ask = async (name: string) => {
      await (await fetch(`${server.url}big.bin`, { headers: { range: "bytes=0-9" } })).arrayBuffer();
      order.push(name);
    };
    const first = ask("first");
    await expect.poll(() => server.requests.length).toBe(1);
    await Promise.all([first, ask("second")]);
    expect(order).toEqual(["second", "first"]);
  });

  test("Range, as the standard has it, and what pages of other origins need", async () => {
    const server = await serve({ etag: () => '"v1"' });
    const ask = (range: string, method = "GET") => fetch(`${server.url}big.bin`, { method, headers: { range } });
    const tail = await ask("bytes=-10");
    expect([tail.status, tail.headers.get("content-range")]).toEqual([206, "bytes 399990-399999/400000"]);
    const rest = await ask("bytes=399995-");
    expectEqualBytes(new Uint8Array(await rest.arrayBuffer()), BIG.slice(399_995));
    const outside = await ask("bytes=400000-400001");
    expect([outside.status, outside.headers.get("content-range")]).toEqual([416, "bytes */400000"]);
    const head = await ask("bytes=0-99", "HEAD");
    expect([head.headers.get("content-length"), (await head.arrayBuffer()).byteLength]).toEqual(["100", 0]);
    expect(head.headers.get("etag")).toBe('"v1"');
    expect(head.headers.get("access-control-allow-origin")).toBe("*");
    expect(head.headers.get("access-control-expose-headers")).toContain("Content-Range");
    const preflight = await fetch(`${server.url}big.bin`, { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("access-control-allow-headers")]).toEqual([
      204,
      expect.stringContaining("Range"),
    ]);
  });

  test("a file larger than memory, from its end", async () => {
    const size = 2 ** 45;
    const read = (offset: number, length: number) => Uint8Array.from({ length }, (_, i) => (offset + i) % 251);
    const server = await serveFiles({ "vast.bin": { size, read } });
    servers.push(server);
    const opened = await openHttp(`${server.url}vast.bin`, {});
    if ("missing" in opened) throw new Error(opened.missing);
    expect(await opened.size()).toBe(size);
    expect(await opened.read(size - 7, 7)).toEqual(read(size - 7, 7));
    expect(server.sentBytes).toBe(65536 + 7);
  });

  test("a reader that leaves midway leaves the others alone", async () => {
    const server = await serve({ link: new Link({ latencyMs: 1, bytesPerSecond: 1e6 }) });
    const stop = new AbortController();
    const leaving = fetch(`${server.url}big.bin`, { signal: stop.signal }).then((answer) => answer.arrayBuffer());
    await expect.poll(() => server.sentBytes).toBeGreaterThan(0);
    stop.abort();
    await expect(leaving).rejects.toMatchObject({ name: "AbortError" });
    const next = await fetch(`${server.url}big.bin`, { headers: { range: "bytes=5-9" } });
    expectEqualBytes(new Uint8Array(await next.arrayBuffer()), BIG.slice(5, 10));
    expect(server.sentBytes).toBeLessThan(BIG.length);
  });

  test("readers come through delays, broken bodies and overload with the right bytes", async () => {
    const plan = parseFaults("seed=11,after=1,cut=0.2,truncate=0.1,429=0.1,500=0.1,delay=0.2,delayMs=5,reorder=0.1");
    const server = await serve({ mishap: (request) => mishapAt(plan, request) });
    let retries = 0;
    const hooks = { retryDelaysMs: [1, 1, 1, 1, 1, 1, 1], onRetry: () => void retries++ };
    const opened = await openHttp(`${server.url}big.bin`, hooks);
    if ("missing" in opened) throw new Error(opened.missing);
    const starts = Array.from({ length: 24 }, (_, i) => 70_000 + i * 12_000);
    const parts = await Promise.all(starts.map((start) => opened.read(start, 40_000)));
    for (const [i, start] of starts.entries()) expectEqualBytes(parts[i]!, BIG.slice(start, start + 40_000));
    expect(retries).toBeGreaterThan(3);
  });
});

describe("the source in process", () => {
  const open = async (faults: string, signal?: AbortSignal) => {
    const checkpoint = { files: new Map([["big.bin", fileOf(BIG)]]), entry: undefined };
    const files = virtualFileSet(checkpoint, { faults: parseFaults(faults) });
    const source = await files.open("big.bin");
    return source!.read(1000, 300_000, signal);
  };

  test("gives the bytes, wrong ones, none, or waits for ever", async () => {
    expectEqualBytes(await open("after=1,cut=1"), BIG.slice(1000, 301_000));
    const bytes = await open("corrupt=1");
    expect(bytes.filter((byte, i) => byte !== BIG[1000 + i])).toHaveLength(1);
    await expect(open("cut=1")).rejects.toThrow(SourceError);
    await expect(open("429=1")).rejects.toThrow(/answered 429/);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 30);
    await expect(open("stall=1", stop.signal)).rejects.toMatchObject({ name: "AbortError" });
  });

  test("goes through a link", async () => {
    const checkpoint = { files: new Map([["big.bin", fileOf(BIG)]]), entry: undefined };
    const files = virtualFileSet(checkpoint, { link: { latencyMs: 20, bytesPerSecond: 4e6 } });
    const source = await files.open("big.bin");
    const start = performance.now();
    expectEqualBytes(await source!.read(0, BIG.length), BIG);
    expect(performance.now() - start).toBeGreaterThan(90); // 20 ms, and 0.4 MB at 4 MB/s less what may be caught up
    expect(await files.open("other.bin")).toBeUndefined();
  });
});
