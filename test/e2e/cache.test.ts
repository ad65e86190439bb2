/** The disk cache in a real browser: a download broken by a reload, a visit without network, two tabs, deletion. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import golden from "../fixtures/octavo-tales/golden.json" with { type: "json" };
import { type LaunchedPage, launchPage, ROOT, type StaticServer, servePath } from "./harness.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const MODELS = join(ROOT, "demo/public/models/octavo-tales");
const TALES = "octavo-tales-q8_0.gguf";
const FILE_BYTES = statSync(join(MODELS, TALES)).size;
const PROMPT = (golden.prompts[0]?.tokens ?? []).slice(0, 20);

const app = mkdtempSync(join(tmpdir(), "octavo-cache-"));
let server: StaticServer;
let launched: LaunchedPage;
beforeAll(async () => {
  writeFileSync(
    join(app, "index.html"),
    `<!doctype html><title>cache</title><link rel="icon" href="data:,">
     <script type="module">import * as octavo from "./lib/index.js"; window.octavo = octavo;</script>`,
  );
  server = await servePath({
    "/app/": app,
    "/app/lib/": join(ROOT, "dist"),
    [`/resolve/${COMMIT}/`]: MODELS,
    "/mai/": join(ROOT, "test/fixtures/mai"),
  });
  launched = await launchPage({ expectedErrors: [/404/] });
});
afterAll(async () => {
  await launched.close();
  await server.close();
  rmSync(app, { recursive: true });
});

async function visit(page: Page): Promise<void> {
  await page.goto(`${server.url}app/index.html`);
  await page.waitForFunction(() => "octavo" in window);
}

const servedBytes = (from: number): number =>
  server.requests.slice(from).reduce((sum, { path, bytes }) => sum + (path.startsWith("/app") ? 0 : bytes), 0);

/** Loads the model and reads the prompt; then fills the cache until it holds `experts`, and disposes if told to. */
async function read(page: Page, experts: number, dispose: boolean) {
  return page.evaluate(
    async ([url, prompt, experts, dispose]) => {
      const options = { gpuBudgetBytes: 12_000_000, contextLength: 64, runAhead: 0 };
      const model = await window.octavo.loadModel(url, options);
      const session = await model.createSession();
      const logits = await session.prefill(prompt);
      const bits = [...new Uint32Array(logits.buffer, logits.byteOffset, logits.length)];
      const first = await model.stats();
      if (experts > 0) await model.setFill("on");
      while ((await model.stats()).cachedExperts < experts) await new Promise((resolve) => setTimeout(resolve, 10));
      const stats = await model.stats();
      const left = dispose ? await model.dispose() : {};
      return { bits, first, stats, left, models: await window.octavo.cachedModels() };
    },
    [`/resolve/${COMMIT}/${TALES}`, PROMPT, experts, dispose] as const,
  );
}

test("a reload in mid-download goes on where it was; then a visit needs no network at all", async () => {
  const { page } = launched;
  await visit(page);
  const started = server.requests.length;
  const cold = await read(page, 150, false); // and the page is left as it is
  expect(cold.first).toMatchObject({ cacheDisabled: "", ioWorker: true, diskHits: 0, corruptBlocks: 0 });
  expect(cold.first.networkBytes).toBeLessThan(FILE_BYTES);
  expect(cold.stats.cachedExperts).toBeLessThan(192);
  expect(cold.models).toHaveLength(1);

  await visit(page);
  const more = await read(page, 192, true);
  expect(more.bits).toEqual(cold.bits);
  expect(more.first.diskHits).toBeGreaterThan(0);
  expect(more.stats.cachedExperts).toBe(192);
  // What a committed second and the lanes had in flight may come twice, and both visits ask for a first 64 KiB.
  expect(servedBytes(started)).toBeLessThan(1.4 * FILE_BYTES);

  await visit(page);
  const before = server.requests.length;
  const warm = await read(page, 0, true);
  expect(server.requests.slice(before).filter(({ path }) => !path.startsWith("/app"))).toEqual([]);
  expect(warm.bits).toEqual(cold.bits);
  expect(warm.stats).toMatchObject({ networkBytes: 0, cacheWriteBytes: 0, corruptBlocks: 0, fillState: "off" });
  expect(warm.stats.diskBytes).toBeGreaterThan(0);
  expect(warm.first.prefetchesUseful).toBeGreaterThan(0); // slots were filled with what earlier visits used
  expect(warm.left).toEqual({});

  const [model] = warm.models;
  expect(model).toMatchObject({ name: TALES, expertShare: 1, source: `${server.url}resolve/${COMMIT}/${TALES}` });
  expect(model?.bytes).toBeGreaterThan(0.95 * FILE_BYTES);
  const left = await page.evaluate(async (id) => {
    await window.octavo.deleteCachedModel(id);
    return window.octavo.cachedModels();
  }, model?.id ?? "");
  expect(left).toEqual([]);
});

test("two tabs with one model: the second runs without the cache and says so", async () => {
  const context = await launched.browser.newContext();
  const [page, other] = [await context.newPage(), await context.newPage()];
  await visit(page);
  await visit(other);
  const load = (tab: Page) =>
    tab.evaluate(async () => {
      const model = await window.octavo.loadModel("/mai/one-token-f32", { contextLength: 16 });
      const stats = await model.stats();
      return { disabled: stats.cacheDisabled, written: stats.cacheWriteBytes };
    });
  expect(await load(page)).toMatchObject({ disabled: "" });
  expect(await load(other)).toEqual({ disabled: "another tab uses this model's cache", written: 0 });
  const refused = await other.evaluate(async () => {
    const [model] = await window.octavo.cachedModels();
    return window.octavo.deleteCachedModel(model?.id ?? "").catch((error: Error) => `${error.name}: ${error.message}`);
  });
  expect(refused).toMatch(/^UsageError: .* is in use/);
  await context.close();
});
