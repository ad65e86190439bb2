/** A virtual model over HTTP range requests from another origin, in a page that has the built library and nothing else. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MemoryPlan, Stats } from "../../src/index.ts";
import { serveFiles } from "../fixtures/http-server.ts";
import { ladderCheckpoint } from "../virtual/checkpoint.ts";
import { parseFaults } from "../virtual/faults.ts";
import { serveVirtual } from "../virtual/serve.ts";
import { launchPage, ROOT } from "./harness.ts";

const SET = {
  hidden: 128,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  dense: 128,
  latent: 64,
  inner: 384, // experts of 41 KB: what lies between two that are wanted is not worth reading
  experts: 64,
  vocab: 2000,
  window: 16,
  context: 256,
};
const TOKENS = 3;

const file = (path: string) => readFileSync(join(ROOT, path));
const scripts = readdirSync(join(ROOT, "dist")).filter((name) => name.endsWith(".js"));
const pages = await serveFiles({
  "page.html": file("scripts/large-model.html"),
  ...Object.fromEntries(scripts.map((name) => [`octavo/${name}`, file(`dist/${name}`)])),
});
const models = await serveVirtual(ladderCheckpoint({ rung: "L6", type: "Q4_0", container: "gguf", set: SET }), {
  faults: parseFaults("seed=2,after=2,cut=0.02,500=0.01"),
});
afterAll(() => Promise.all([pages.close(), models.close()]));

test("generates under a budget, from the bytes it needs, through a bad connection", async () => {
  const { page, close } = await launchPage({ expectedErrors: [/ERR_|500/] });
  await page.goto(`${pages.url}page.html`);
  const call = <T>(name: string, ...args: unknown[]): Promise<T> =>
    page.evaluate(`largeModel.${name}(...${JSON.stringify(args)})`);
  const generated = async (): Promise<number[]> => {
    const { finite } = await call<{ finite: boolean }>("prefill", prompt, TOKENS);
    expect(finite).toBe(true);
    const ids: number[] = [];
    for (let i = 0; i < TOKENS; i++) ids.push(await call<number>("next"));
    return ids;
  };
  const { memory } = await call<{ memory: MemoryPlan }>("load", models.modelUrl, {
    contextLength: 64,
    cache: false, // it stores whole blocks, and this file is hardly more than one
  });
  const prompt = await call<number[]>("encode", "Once upon a time");
  const ids = await generated();
  const { networkBytes } = await call<Stats>("stats");
  expect(networkBytes).toBeLessThan(models.modelBytes * 0.9);
  expect(new Set(ids).size).toBeGreaterThan(1);

  const { slotsPerLayer } = await call<MemoryPlan>("setBudget", memory.minBudgetBytes);
  expect([memory.slotsPerLayer, slotsPerLayer]).toEqual([64, 8]);
  await call("rewind");
  expect(await generated()).toEqual(ids);
  const stats = await call<Stats>("stats");
  expect(stats.evictions).toBeGreaterThan(0);
  expect(stats.retries).toBeGreaterThan(0);
  expect(await call("dispose")).toEqual({});
  await close();
});
