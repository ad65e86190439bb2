/** The page beside the chat, in a real Chromium: picking and loading models, what is kept, instruments, settings, bench. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Link } from "../virtual/link.ts";
import { serveFiles } from "../virtual/serve.ts";
import { violations } from "./axe.ts";
import { type LaunchedPage, launchPage, ROOT, type StaticServer, screenshot, servePath } from "./harness.ts";

const TALES = readFileSync(join(ROOT, "demo/public/models/octavo-tales/octavo-tales-q8_0.gguf"));
/** Slow enough to be caught in the middle of the dense part, which is 3.4 MB. */
const LINK = { latencyMs: 5, bytesPerSecond: 2.5e6 };
const SLOW = { timeout: 60_000 };

let server: StaticServer;
let far: Awaited<ReturnType<typeof serveFiles>>;

beforeAll(async () => {
  server = await servePath({ "/": join(ROOT, "dist-demo") });
  far = await serveFiles({ "far.gguf": TALES }, { link: new Link(LINK), etag: () => '"one"' });
});
afterAll(() => Promise.all([server.close(), far.close()]));

async function openReady(options: Parameters<typeof launchPage>[0] = {}): Promise<LaunchedPage> {
  const launched = await launchPage(options);
  await launched.page.goto(server.url);
  await ready(launched.page, "Octavo Tales");
  return launched;
}

/** Waits until the model of this name is open; a notice that comes instead is the failure's message. */
async function ready(page: Page, name: string): Promise<void> {
  await expect.poll(() => text(page, "#status"), SLOW).toBe(`${name} is ready.`);
  expect(await page.locator(".notice p").allTextContents()).toEqual([]);
}

const text = async (page: Page, selector: string) => (await page.locator(selector).textContent())?.trim() ?? "";
const tab = (page: Page, name: string) => page.locator(`#tab-${name}`).click();
const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function write(page: Page, beginning: string): Promise<void> {
  await tab(page, "chat");
  const field = page.locator("#view-chat textarea").first();
  await field.fill(beginning);
  await field.press("Enter");
}

/** A cell of the table of counters, as a number. */
async function counter(page: Page, row: string, column: "This answer" | "Since opening"): Promise<number> {
  const cells = page.locator("#counters tr", { hasText: row }).locator("td");
  return Number.parseFloat((await cells.nth(column === "This answer" ? 0 : 1).textContent()) ?? "");
}

describe("models", () => {
  test("a model is looked at, loaded with a pause, called off, filled, and deleted from disk", async () => {
    const { page, close } = await openReady();
    await tab(page, "models");
    expect(await violations(page)).toEqual([]);
    await page.locator("#url").fill(`${far.url}far.gguf`);
    await page.locator("#url").press("Enter");
    await page.locator("#card").waitFor();
    expect(await text(page, "#card")).toMatch(/17\.2 M.*4\.8 M for each token/);
    expect(far.sentBytes).toBeLessThan(1_000_000);
    expect(await violations(page)).toEqual([]);

    await page.locator("#card-load").click();
    await page.waitForFunction(() => Number(document.querySelector("progress")?.value) > 0.3);
    await page.locator("#load-pause").click();
    await expect.poll(() => text(page, "#status")).toMatch(/is paused/);
    const paused = far.sentBytes;
    await page.waitForTimeout(400);
    expect(far.sentBytes - paused).toBeLessThan(300_000); // what was under way
    expect(await page.locator(".notice").count()).toBe(0);
    await page.locator("#load-resume").click();
    await ready(page, "far.gguf");
    // The dense part came once: what the pause cut off is all that came twice.
    expect(far.sentBytes).toBeLessThan(1.25 * DENSE_BYTES + paused * 0.3);
    expect(await text(page, "#model-name")).toBe("far.gguf");

    await tab(page, "models");
    const kept = page.locator("#storage li");
    await expect.poll(() => kept.count()).toBe(2);
    expect(await kept.first().textContent()).toMatch(/far\.gguf.*open/);
    await page.locator("#fill").click();
    await expect.poll(() => text(page, "#fill-state")).toMatch(/fetching the rest/);
    await expect
      .poll(() => page.locator("#fill-bar").evaluate((bar) => (bar as HTMLProgressElement).value))
      .toBeGreaterThan(0);
    await page.locator("#fill").click();
    await expect.poll(() => text(page, "#fill-state")).toMatch(/filled as/);

    await kept.nth(1).getByRole("button").click();
    await kept.nth(1).getByRole("button", { name: "Keep it" }).click();
    await kept.nth(1).getByRole("button").click();
    await kept.nth(1).getByRole("button", { name: "Delete octavo-tales-q8_0.gguf" }).click();
    await expect.poll(() => kept.count()).toBe(1);
    await kept.first().getByRole("button").click();
    expect(await kept.first().textContent()).toMatch(/will be closed/);
    await kept.first().getByRole("button", { name: "Delete far.gguf" }).click();
    await expect.poll(() => text(page, "#storage")).toMatch(/No model is kept/);
    expect(await text(page, "#model-facts")).toMatch(/not loaded/);

    await page.locator("#reload").click();
    await page.locator("#load-cancel").click();
    await expect.poll(() => text(page, ".notice")).toMatch(/far\.gguf was not loaded/);
    await page.locator(".notice").getByRole("button", { name: "Dismiss" }).click();
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await overflow(page)).toBe(0);
    await close();
  });
});

describe("beside the chat", () => {
  test("instruments move and look back, settings last and are heard, the bench measures", async () => {
    const { page, close } = await openReady();
    await tab(page, "settings");
    await page.locator("#temperature").fill("0");
    await page.locator("#max-tokens").fill("12");
    await page.locator("#top-p").fill("7");
    await page.locator("#top-p").blur();
    expect(await page.locator("#top-p").inputValue()).toBe("0.95");
    await page.locator("#policy").selectOption("lru");
    expect(await text(page, "#reload-note")).toMatch(/Who gives up a slot/);
    expect(await violations(page)).toEqual([]);
    await page.reload();
    await ready(page, "Octavo Tales");
    await tab(page, "settings");
    expect(await page.locator("#max-tokens").inputValue()).toBe("12");
    expect(await page.locator("#policy").inputValue()).toBe("lru");
    expect(await page.locator("#reload-note").count()).toBe(0); // this load heard of it

    await write(page, "Once upon a time there was a little girl who");
    await page.locator(".counters summary").click();
    await expect.poll(() => counter(page, "Tokens written", "This answer"), SLOW).toBeGreaterThanOrEqual(11);
    await page.locator("#stop").waitFor({ state: "hidden" });
    expect(await counter(page, "Tokens written", "This answer")).toBeLessThanOrEqual(12);
    expect(await counter(page, "Experts fetched", "Since opening")).toBeGreaterThan(0);
    await expect
      .poll(() => page.locator("#history-canvas").getAttribute("aria-label"))
      .toMatch(/The last 1[12] tokens: \d+ experts chosen, \d+ fetched, \d+ evicted; a token took .*compute/);
    expect(await text(page, "#advice")).toMatch(/Too little has been written/);
    expect(await violations(page)).toEqual([]);
    await looksBack(page);

    await tab(page, "bench");
    expect(await violations(page)).toEqual([]);
    await page.locator("#bench-start").click();
    await expect.poll(() => text(page, "#bench-status"), SLOW).toMatch(/Round 1/);
    await page.locator("#bench-stop").click();
    await expect.poll(() => text(page, "#bench-status"), SLOW).toBe("Stopped.");
    const before = await text(page, "#budget-detail");
    await page.locator("#bench-start").click();
    await expect.poll(() => text(page, "#bench-status"), SLOW).toMatch(/^Measured on/);
    expect(await page.locator("#results tbody tr").count()).toBe(3);
    expect(await text(page, "#budget-detail")).toBe(before);
    const download = page.waitForEvent("download");
    await page.locator("#bench-download").click();
    const figures = JSON.parse(readFileSync(await (await download).path(), "utf8"));
    expect(figures.residencies.map(({ slotsPerLayer }: { slotsPerLayer: number }) => slotsPerLayer)).toEqual([
      64, 32, 16,
    ]);
    for (const { decodePerSecond, ratio, gpuBytesPeak } of figures.residencies) {
      expect(Math.min(decodePerSecond, ratio, gpuBytesPeak)).toBeGreaterThan(0);
    }
    expect(figures.residencies[0].ratio).toBe(1);
    expect(await violations(page)).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    for (const name of ["chat", "settings", "bench"]) {
      await tab(page, name);
      expect(await overflow(page), name).toBe(0);
    }
    await close();
  });
});

/** The strip's slider shows an earlier token, in words and on the shelf, and lets go of it again. */
async function looksBack(page: Page): Promise<void> {
  const label = () => page.locator("#shelf-canvas").getAttribute("aria-label");
  const newest = await text(page, "#history-step");
  const now = await label();
  await page.locator("#history-range").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => text(page, "#history-step")).not.toBe(newest);
  const [, chosen, fetched] = /(\d+) experts chosen, (\d+) fetched/.exec(await text(page, "#history-step")) ?? [];
  expect(Number(chosen)).toBe(24); // eight in each of three layers
  await expect.poll(label).not.toBe(now);
  const sum = async (what: string) => {
    const found = [...((await label()) ?? "").matchAll(new RegExp(`(\\d+) ${what}`, "g"))];
    return found.reduce((all, [, count]) => all + Number(count), 0);
  };
  expect(await sum("chosen now")).toBe(24);
  expect(await sum("just fetched")).toBe(Number(fetched));
  await screenshot(page, "tools-look-back");
  await page.locator("#history-follow").click();
  await expect.poll(() => text(page, "#history-step")).toBe(newest);
}

/** What loading takes from the server: the dense part, header and vocabulary. */
const DENSE_BYTES = 4_000_000;
