/** The page that measuring scripts drive by themselves, and the heaps that they read of it, nested workers included. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBarePage } from "../../scripts/bare-page.mjs";
import { readHeaps } from "../../scripts/heaps.mjs";
import { browserMemory } from "../../scripts/process-memory.mjs";
import { serveFiles } from "../virtual/serve.ts";

const MIB = 2 ** 20;
const inner = `self.kept = new Uint8Array(${8 * MIB}).fill(1); postMessage(kept.length);`;
const outer = `new Worker("inner.js").onmessage = ({ data }) => postMessage(data);`;
const document = `<!doctype html><title>bare</title><script type="module">globalThis.ready = new Promise((resolve) => {
  globalThis.worker = new Worker("outer.js");
  worker.onmessage = ({ data }) => resolve(data);
});</script>`;

let server: Awaited<ReturnType<typeof serveFiles>>;
let page: Awaited<ReturnType<typeof openBarePage>>;
beforeAll(async () => {
  const files = { "page.html": document, "outer.js": outer, "inner.js": inner };
  server = await serveFiles(
    Object.fromEntries(Object.entries(files).map(([name, text]) => [name, new TextEncoder().encode(text)])),
  );
  page = await openBarePage(`${server.url}page.html`);
});
afterAll(async () => {
  await page.close();
  await server.close();
});

test("gives values and what promises come to, and throws what they throw", async () => {
  expect(await page.evaluate("document.title")).toBe("bare");
  expect(await page.evaluate("Promise.resolve({ list: [1, 2] })")).toEqual({ list: [1, 2] });
  await expect(page.evaluate("Promise.reject(new TypeError('not so'))")).rejects.toThrow(/TypeError: not so/);
  await expect(page.goto("http://127.0.0.1:1/")).rejects.toThrow(/ERR_/);
});

test("reads the heaps of page and workers, a worker's own worker among them", async () => {
  await page.goto(`${server.url}page.html`);
  expect(await page.evaluate("ready")).toBe(8 * MIB);
  const { page: own, workers } = await readHeaps(page);
  expect(own.heap).toBeGreaterThan(0);
  expect(workers.heap).toBeGreaterThan(0);
  expect(workers.buffers).toBeGreaterThanOrEqual(8 * MIB);
  expect(workers.buffers).toBeLessThan(9 * MIB);
  await page.evaluate("worker.terminate()");
  await expect.poll(async () => (await readHeaps(page)).workers.buffers, { timeout: 15_000 }).toBe(0);
});

test("is in processes whose memory can be read, and leaves nothing behind", async () => {
  const other = await openBarePage(`${server.url}page.html`);
  const kinds = browserMemory(other.pid).map(({ kind }) => kind);
  expect(kinds).toEqual(expect.arrayContaining(["browser", "renderer", "gpu-process"]));
  expect(existsSync(other.profile)).toBe(true);
  await other.close();
  expect(browserMemory(other.pid)).toEqual([]);
  expect(existsSync(other.profile)).toBe(false);
  await expect(other.evaluate("1")).rejects.toThrow(/Chromium ended/);
});
