/** The built library on a plain page: the default model by its address, as an outsider would call it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import golden from "../fixtures/octavo-tales/golden.json" with { type: "json" };
import { nmse } from "../reference/compare.ts";
import { type LaunchedPage, launchPage, ROOT, type StaticServer, servePath } from "./harness.ts";

const app = mkdtempSync(join(tmpdir(), "octavo-door-"));
const [{ prompt, tokens, last_logits, greedy_32 }] = golden.prompts as [(typeof golden.prompts)[number]];

/** What the page's script leaves on `window`: the library, nothing else. */
type Octavo = typeof import("../../src/index.ts");
declare global {
  interface Window {
    octavo: Octavo;
  }
}

let server: StaticServer;
let launched: LaunchedPage;
beforeAll(async () => {
  // The build tier has just made dist/.
  writeFileSync(
    join(app, "index.html"),
    `<!doctype html><title>door</title><link rel="icon" href="data:,">
     <script type="module">import * as octavo from "./lib/index.js"; window.octavo = octavo;</script>`,
  );
  server = await servePath({
    "/some/where/": app,
    "/some/where/lib/": join(ROOT, "dist"),
    "/models/": join(ROOT, "demo/public/models"),
  });
  launched = await launchPage();
  await launched.page.goto(`${server.url}some/where/index.html`);
  await launched.page.waitForFunction(() => "octavo" in window);
});
afterAll(async () => {
  await launched.close();
  await server.close();
  rmSync(app, { recursive: true });
});

const MODEL = "/models/octavo-tales/octavo-tales-q8_0.gguf";

describe("the public door", () => {
  test("loads the default model, reads a prompt and goes on as float64 does, with no special headers", async () => {
    const seen = await launched.page.evaluate(
      async ([model, prompt]) => {
        const { loadModel } = window.octavo;
        const phases = new Set<string>();
        let [loaded, total] = [0, 0];
        const tales = await loadModel(model, {
          gpuBudgetBytes: 16_000_000,
          contextLength: 128,
          onProgress: ({ phase, loadedBytes, totalBytes }) => {
            phases.add(phase);
            [loaded, total] = [loadedBytes, totalBytes];
          },
        });
        const tokens = await tales.encode(prompt);
        const session = await tales.createSession({ contextLength: 64 });
        const logits = [...(await session.prefill(tokens))];
        const ids: number[] = [];
        for await (const id of session.generate({ maxTokens: 8 })) ids.push(id);
        const last = [...(await session.decode(ids.at(-1) ?? 0))];
        await session.rewind(tokens.length);
        const again: number[] = [];
        for await (const id of session.generate({ maxTokens: 8 })) again.push(id);
        const text = await tales.decode(ids);
        const stats = await tales.stats();
        const isolated = crossOriginIsolated;
        const { layers, vocabSize } = tales.spec;
        await session.dispose();
        const left = await tales.dispose();
        return {
          ...{ tokens, logits, ids, last, again, text, stats, isolated, left, loaded, total },
          ...{ phases: [...phases], numLayers: layers.length, vocabSize },
        };
      },
      [MODEL, prompt] as const,
    );
    expect(seen.isolated).toBe(false);
    expect(seen.phases).toEqual(["header", "device", "weights", "ready"]);
    expect(seen.loaded).toBe(seen.total);
    expect([seen.numLayers, seen.vocabSize]).toEqual([6, 4096]);
    expect(seen.tokens).toEqual(tokens);
    expect(nmse(seen.logits, last_logits)).toBeLessThanOrEqual(1e-9);
    expect(seen.ids).toEqual(greedy_32.slice(0, 8));
    expect(seen.again).toEqual(seen.ids);
    expect(seen.last.length).toBe(4096);
    expect(golden.prompts[0]?.greedy_text.startsWith(seen.text)).toBe(true);
    expect(seen.stats.gpuBytesPeak).toBeLessThanOrEqual(16_000_000);
    expect(seen.stats.evictions).toBeGreaterThan(0);
    expect(seen.left).toEqual({});
    const asked = server.requests.filter(({ path }) => path.startsWith("/models/")); // a tokenizer beside it too
    expect(asked.filter(({ path, status }) => path === MODEL && status !== 206)).toEqual([]);
    expect(asked.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(seen.stats.networkBytes);
  });

  test("gives its own error classes, ends on abort, and works afterwards", async () => {
    const seen = await launched.page.evaluate(
      async ([model, tokens]) => {
        const { loadModel, BudgetError, UsageError } = window.octavo;
        const failure = (run: Promise<unknown>) =>
          run.then(
            () => null,
            (error: Error) => error,
          );
        const small = await failure(loadModel(model, { gpuBudgetBytes: 1000 }));
        const early = new AbortController();
        const loading = failure(loadModel(model, { signal: early.signal, onProgress: () => early.abort() }));
        const aborted = await loading;
        const tales = await loadModel(model, { contextLength: 64 });
        const session = await tales.createSession();
        const wrong = await failure(session.prefill([4096]));
        await session.prefill(tokens);
        const stop = new AbortController();
        const ids: number[] = [];
        const stopped = await failure(
          (async () => {
            for await (const id of session.generate({ signal: stop.signal })) {
              ids.push(id);
              if (ids.length === 3) stop.abort();
            }
          })(),
        );
        for await (const id of session.generate({ maxTokens: 3 })) ids.push(id);
        const busy = failure(session.prefill(tokens));
        const left = await tales.dispose();
        return {
          small: small instanceof BudgetError && small.message,
          aborted: aborted?.name,
          wrong: wrong instanceof UsageError,
          stopped: stopped?.name,
          ids,
          left,
          busy: (await busy)?.name,
        };
      },
      [MODEL, tokens] as const,
    );
    expect(seen.small).toMatch(/smallest that works here is \d+/);
    expect(seen).toMatchObject({ aborted: "AbortError", wrong: true, stopped: "AbortError", left: {} });
    expect(seen.ids).toEqual(greedy_32.slice(0, 6));
    expect(seen.busy).toMatch(/Error$/);
  });

  test("takes a file that the user picked", async () => {
    const { page } = launched;
    await page.evaluate(() => document.body.insertAdjacentHTML("beforeend", "<input type=file>"));
    await page.setInputFiles("input", join(ROOT, "demo/public", MODEL));
    const before = server.requests.length;
    const seen = await page.evaluate(async () => {
      const [file] = document.querySelector("input")?.files ?? [];
      if (!file) throw new Error("no file was picked");
      const tales = await window.octavo.loadModel(file, { contextLength: 32 });
      const ids = await tales.encode("The king");
      const stats = await tales.stats();
      return { ids, stats, left: await tales.dispose() };
    });
    expect(seen.ids.length).toBeGreaterThan(0);
    expect(seen.stats.fileBytes).toBeGreaterThan(0);
    expect(seen.stats.networkBytes).toBe(0);
    expect(seen.left).toEqual({});
    expect(server.requests.slice(before).filter(({ path }) => path.includes("gguf"))).toEqual([]);
  });
});

// A worker that is ended while a worker of its own still ends may stay for ever in Chromium, and what it has with it.
test("models that were disposed of, or called off while they loaded, leave no worker", async () => {
  const { page, close } = await launchPage();
  await page.goto(`${server.url}some/where/index.html`);
  await page.waitForFunction(() => "octavo" in window);
  const ended = await page.evaluate(async (model) => {
    const { loadModel } = window.octavo;
    const loadFor = async (ms: number) => {
      const signal = ms === Number.POSITIVE_INFINITY ? undefined : AbortSignal.timeout(ms);
      const options = signal ? { signal, contextLength: 128 } : { contextLength: 128 };
      try {
        await (await loadModel(model, options)).dispose();
        return "disposed";
      } catch (error) {
        return (error as Error).name;
      }
    };
    const all: string[] = [];
    for (const ms of [0, 10, 50, 100, 150, 200, 300]) all.push(...(await Promise.all([loadFor(ms), loadFor(ms)])));
    for (let turn = 0; turn < 4; turn++) all.push(await loadFor(Number.POSITIVE_INFINITY));
    return all;
  }, MODEL);
  expect(ended.filter((how) => how === "TimeoutError").length).toBeGreaterThan(4);
  expect(ended.filter((how) => how === "disposed").length).toBeGreaterThanOrEqual(4);
  await expect.poll(() => page.workers().map((worker) => worker.url())).toEqual([]);
  await close();
});
