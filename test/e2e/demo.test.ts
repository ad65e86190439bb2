/** The built demo in a real Chromium, with the real model: what a reader does with the page, and what can go wrong. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type LaunchedPage,
  type LaunchOptions,
  launchPage,
  ROOT,
  type StaticServer,
  screenshot,
  servePath,
} from "./harness.ts";

const MODEL = "models/octavo-tales/octavo-tales-q8_0.gguf";
const GOLDEN = JSON.parse(readFileSync(join(ROOT, "test/fixtures/octavo-tales/golden.json"), "utf8")).prompts[0] as {
  prompt: string;
  greedy_32: number[];
  greedy_text: string;
};

/** A software adapter on a busy machine is given its time. */
const SLOW = { timeout: 60_000 };

let server: StaticServer;

beforeAll(async () => {
  // Under a path, because a demo is rarely hosted at the root.
  server = await servePath({ "/hosted/here/": join(ROOT, "dist-demo") });
});

afterAll(() => server.close());

async function openPage(query = "", options: LaunchOptions = {}): Promise<LaunchedPage> {
  const launched = await launchPage(options);
  await launched.page.goto(`${server.url}hosted/here/${query}`);
  return launched;
}

async function openReady(query = "", options: LaunchOptions = {}): Promise<LaunchedPage> {
  const launched = await openPage(query, options);
  await ready(launched.page);
  return launched;
}

/** Waits until there is a model to write with; a notice that comes instead is the failure's message. */
async function ready(page: Page): Promise<void> {
  await page.locator("#continue:enabled, .notice").first().waitFor();
  expect(await page.locator(".notice p").allTextContents()).toEqual([]);
}

async function sample(page: Page, settings: Readonly<Record<string, string>>): Promise<void> {
  await page.locator("#tab-settings").click();
  for (const [id, value] of Object.entries(settings)) await page.locator(`#${id}`).fill(value);
  await page.locator("#tab-chat").click();
}

async function begin(page: Page, beginning: string): Promise<void> {
  await page.locator("#tab-chat").click();
  await page.locator("#beginning").fill(beginning);
  await page.locator("#beginning").press("Enter");
}

/** Text of the one element that `selector` finds. */
const text = async (page: Page, selector: string) => (await page.locator(selector).textContent()) ?? "";
const answer = (page: Page) => text(page, "#answer-text");

async function longerThan(page: Page, length: number): Promise<string> {
  await expect.poll(async () => (await answer(page)).length, SLOW).toBeGreaterThan(length);
  return answer(page);
}

/** Residents per layer, as the picture's text says them. */
async function residents(page: Page): Promise<number[]> {
  const label = (await page.locator("#shelf-canvas").getAttribute("aria-label")) ?? "";
  return [...label.matchAll(/(\d+) of 64 resident/g)].map((match) => Number(match[1]));
}

/** Room per layer, as the slider says it. */
async function slots(page: Page): Promise<number> {
  const detail = () => text(page, "#budget-detail");
  await expect.poll(detail, { timeout: 10_000 }).toMatch(/room for \d+ of 64/);
  return Number(/room for (\d+)/.exec(await detail())?.[1]);
}

const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

describe("the demo", () => {
  test("tells the golden story at a quarter of the experts, token by token, and says what it took", async () => {
    const { page, close } = await launchPage();
    await page.addInitScript(watchLoadBytes);
    await page.goto(`${server.url}hosted/here/`);
    await ready(page);
    expect(await page.evaluate(() => window.loadTexts)).toContainEqual(expect.stringMatching(/\d B|[kM]B of .*MB/));
    expect(await text(page, "#adapter")).not.toMatch(/^(|none|not known yet)$/);
    expect(await page.locator("#budget-range").inputValue()).toBe("25");
    expect(await slots(page)).toBe(16);
    await sample(page, { temperature: "0", "max-tokens": String(GOLDEN.greedy_32.length) });
    await page.evaluate(watchAnswer);
    await begin(page, GOLDEN.prompt);
    await expect.poll(() => text(page, "#told-status"), SLOW).toMatch(/^Paused after 32/);
    expect(await text(page, "#answer-text")).toBe(GOLDEN.greedy_text);
    expect(await text(page, "#prompt-text")).toBe(GOLDEN.prompt);
    const lengths = await page.evaluate(() => window.answerLengths);
    expect(new Set(lengths).size).toBeGreaterThan(5);
    expect(Number(await text(page, "#stat-speed"))).toBeGreaterThan(0);
    expect(await text(page, "#stat-hits")).toMatch(/^\d+ %$/);
    expect(await text(page, "#stat-fetched")).toMatch(/[kM]B$/);
    expect(Math.max(...(await residents(page)))).toBeLessThanOrEqual(16);
    expect(Math.min(...(await residents(page)))).toBeGreaterThan(0);
    await screenshot(page, "demo-desktop");
    await close();
  });

  test("takes a new budget while it writes", async () => {
    const { page, close } = await openReady();
    const range = page.locator("#budget-range");
    await range.fill("100");
    await expect.poll(() => slots(page), SLOW).toBe(64);
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 30);
    const before = await residents(page);
    await range.fill((await range.getAttribute("min")) ?? "");
    await expect.poll(() => slots(page), SLOW).toBeLessThan(16);
    const room = await slots(page);
    await expect.poll(async () => Math.max(...(await residents(page))), SLOW).toBeLessThanOrEqual(room);
    expect(Math.max(...before)).toBeGreaterThan(room);
    await longerThan(page, (await answer(page)).length + 20);
    await page.reload();
    await ready(page);
    expect(await range.inputValue()).toBe(await range.getAttribute("min"));
    await close();
  });

  test("stops, continues from where it stopped, and starts over", async () => {
    const { page, close } = await openReady();
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 10);
    await page.locator("#stop").click();
    await expect.poll(() => text(page, "#told-status"), SLOW).toMatch(/^Stopped after \d+ tokens/);
    const stopped = await answer(page);
    await page.waitForTimeout(500);
    expect(await answer(page)).toBe(stopped);
    await page.locator("#further").click();
    expect((await longerThan(page, stopped.length)).startsWith(stopped)).toBe(true);
    await page.locator("#stop").click();
    await page.locator("#restart").click();
    expect(await page.locator("#beginning").inputValue()).toBe(GOLDEN.prompt);
    await page.locator(".chip").last().click();
    await page.locator("#continue").click();
    await longerThan(page, 5);
    await close();
  });

  test("survives a reload in the middle of an answer", async () => {
    const { page, close } = await openReady();
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 10);
    await page.reload();
    await ready(page);
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 10);
    await close();
  });

  test("names the error of a bad address, and keeps the model that is open", async () => {
    const { page, close } = await openReady("", { expectedErrors: [/404/] });
    await page.locator("#tab-models").click();
    await page.locator("#url").fill("models/nowhere.gguf");
    await page.locator("#url").press("Enter");
    await page.locator(".notice").waitFor();
    expect(await text(page, ".notice strong")).toBe("SourceError");
    expect(await text(page, ".notice p")).toContain("404");
    expect(await page.locator("#card").isVisible()).toBe(false);
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 5);
    await close();
  });

  test("names the error of a bad address in its query, and offers its own model", async () => {
    const { page, close } = await openPage("?model=models/nowhere.gguf", { expectedErrors: [/404/] });
    await page.locator(".notice").waitFor();
    expect(await page.locator("#continue").isDisabled()).toBe(true);
    await page.locator(".notice").getByRole("button", { name: "Open Octavo Tales instead" }).click();
    await ready(page);
    await close();
  });

  test("says what a model is before it loads it, from an address and from this machine", async () => {
    const { page, close } = await openReady(`?model=${MODEL}`);
    expect(await text(page, "#model-name")).toBe("octavo-tales-q8_0.gguf");
    const before = server.requests.length;
    await page.locator("#tab-models").click();
    await page.locator("#url").fill(MODEL);
    await page.locator("#url").press("Enter");
    await page.locator("#card").waitFor();
    expect(await text(page, "#card-facts")).toMatch(/17\.2 M.*4\.8 M for each token.*64.*8 chosen/);
    const read = server.requests.slice(before).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(read).toBeLessThan(6_000_000);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await overflow(page)).toBe(0);
    await screenshot(page, "card-phone");
    await page.setViewportSize({ width: 1280, height: 760 });
    await screenshot(page, "card-desktop");
    await page.keyboard.press("Enter"); // the load button has the focus
    await expect.poll(() => page.locator("#budget-range").inputValue(), SLOW).toBe("50");
    await ready(page);
    expect(await slots(page)).toBe(32);
    await page.locator("#tab-models").click();
    await page.locator("#files").setInputFiles(join(ROOT, "demo/public", MODEL));
    await page.locator("#card-budgets input").first().check();
    await page.locator("#card-load").click();
    await expect.poll(() => text(page, "#model-facts"), SLOW).toMatch(/6 layers, 3 of them with 64 experts/);
    await ready(page);
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 5);
    await close();
  });

  test("fits a phone", async () => {
    const { page, close } = await openReady("", { viewport: { width: 390, height: 844 } });
    expect(await overflow(page)).toBe(0);
    await sample(page, {});
    await page.locator("#tab-models").click();
    expect(await overflow(page)).toBe(0);
    await begin(page, GOLDEN.prompt);
    await longerThan(page, 15);
    expect(await overflow(page)).toBe(0);
    await screenshot(page, "demo-phone");
    await close();
  });

  test("can be used by keyboard alone", async () => {
    const { page, close } = await openReady();
    const visited: string[] = [];
    for (let i = 0; i < 10; i++) {
      await page.keyboard.press("Tab");
      visited.push(await page.evaluate(() => document.activeElement?.id || (document.activeElement?.tagName ?? "")));
    }
    expect(visited.filter(Boolean)).toEqual(expect.arrayContaining(["beginning", "continue", "budget-range"]));
    expect(visited.indexOf("beginning")).toBeLessThan(visited.indexOf("continue"));
    expect(visited.indexOf("continue")).toBeLessThan(visited.indexOf("budget-range"));
    await close();
  });
});

describe("without WebGPU", () => {
  test("says that navigator.gpu is missing, and which browsers have it", async () => {
    const { page, close } = await launchPage();
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
    await page.goto(`${server.url}hosted/here/`);
    await page.locator("#no-webgpu").waitFor();
    expect(await text(page, "#no-webgpu")).toMatch(/navigator\.gpu is missing[\s\S]*Chrome[\s\S]*Safari/);
    expect(await page.locator("#main").isVisible()).toBe(false);
    await close();
  });

  test("says that there is no adapter, and what to turn on", async () => {
    const { page, close } = await launchPage();
    await page.addInitScript(() => {
      GPU.prototype.requestAdapter = () => Promise.resolve(null);
    });
    await page.goto(`${server.url}hosted/here/`);
    await page.locator("#no-webgpu").waitFor();
    expect(await text(page, "#no-webgpu")).toMatch(/requestAdapter\(\)[\s\S]*hardware/);
    await close();
  });
});

declare global {
  interface Window {
    loadTexts: string[];
    answerLengths: number[];
  }
}

/** Runs in the page before its scripts: records what the load bar says. */
function watchLoadBytes(): void {
  window.loadTexts = [];
  const note = () => window.loadTexts.push(document.getElementById("load-bytes")?.textContent ?? "");
  new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
}

/** Runs in the page: records how long the answer is whenever it grows. */
function watchAnswer(): void {
  window.answerLengths = [];
  const note = () => window.answerLengths.push(document.getElementById("answer-text")?.textContent.length ?? 0);
  new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
}
