/** What the tests of the built demo do with it: open it, write, wait, and read what it shows. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { expect } from "vitest";
import { ROOT } from "./harness.ts";

export const GOLDEN = JSON.parse(readFileSync(join(ROOT, "test/fixtures/octavo-tales/golden.json"), "utf8"))
  .prompts[0] as { prompt: string; greedy_32: number[]; greedy_text: string };

/** A software adapter on a busy machine is given its time. */
export const SLOW = { timeout: 60_000 };

/** Waits until there is a model to write with; a notice that comes instead is the failure's message. */
export async function ready(page: Page): Promise<void> {
  await page.locator("#draft[placeholder^='Write'], .notice").first().waitFor(SLOW);
  expect(await page.locator(".notice p").allTextContents()).toEqual([]);
}

export async function showTab(page: Page, name: "chat" | "models" | "bench" | "settings"): Promise<void> {
  await page.locator(`#tab-${name}`).click();
}

/** Sets fields of the settings, and comes back to the chat. */
export async function sample(page: Page, settings: Readonly<Record<string, string>>): Promise<void> {
  await showTab(page, "settings");
  for (const [id, value] of Object.entries(settings)) await page.locator(`#${id}`).fill(value);
  await showTab(page, "chat");
}

export async function write(page: Page, text: string): Promise<void> {
  await page.locator("#draft").fill(text);
  await page.locator("#draft").press("Enter");
}

/** Text of the one element that `selector` finds. */
export const text = async (page: Page, selector: string) => (await page.locator(selector).textContent()) ?? "";

/** Text of the last answer, "" before there is one. */
export async function answer(page: Page): Promise<string> {
  return (await page.locator(".answer .text").last().textContent({ timeout: 5000 })) ?? "";
}

export async function longerThan(page: Page, length: number): Promise<string> {
  await expect.poll(async () => (await answer(page)).length, SLOW).toBeGreaterThan(length);
  return answer(page);
}

/** Waits until the last answer has ended, and gives what is said below it. */
export async function ending(page: Page): Promise<string> {
  await page.locator("#send").waitFor(SLOW);
  return text(page, ".answer:last-child .foot > .figures");
}

/** Presses a button of the last message. */
export async function press(page: Page, name: string): Promise<void> {
  await page.locator(".messages > :last-child").getByRole("button", { name, exact: true }).click();
}

/** Residents per layer, as the picture's text says them. */
export async function residents(page: Page): Promise<number[]> {
  const label = (await page.locator("#shelf-canvas").getAttribute("aria-label")) ?? "";
  return [...label.matchAll(/(\d+) of 64 resident/g)].map((match) => Number(match[1]));
}

/** Slots per layer that the budget gives. */
export async function slots(page: Page): Promise<number> {
  return Number(/room for (\d+) of/.exec(await text(page, "#budget-detail"))?.[1]);
}

/** How far the page is wider than its window. */
export const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
