/** What the e2e tests share: a static server, a Chromium page that fails on unexpected errors, screenshots. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright";
import { CHROMIUM_ARGS, findChromium, REMEDY } from "../../scripts/chromium.mjs";

export { type Routes, type ServedRequest, type StaticServer, servePath } from "./static-server.ts";

export const ROOT = join(import.meta.dirname, "../..");
const RESULTS = join(ROOT, "test-results");

export interface LaunchOptions extends BrowserContextOptions {
  /** Errors that the test provokes; every other console error or page error fails it. */
  readonly expectedErrors?: readonly RegExp[];
  /** Start flags beside the shared ones. */
  readonly args?: readonly string[];
}

export interface LaunchedPage {
  readonly page: Page;
  readonly browser: Browser;
  /** Console errors and uncaught errors so far, the expected ones left out. */
  readonly errors: readonly string[];
  /** Closes the browser; throws when there were unexpected errors. */
  close(): Promise<void>;
}

/** A fresh headless Chromium with one empty page. */
export async function launchPage({
  expectedErrors = [],
  args = [],
  ...context
}: LaunchOptions = {}): Promise<LaunchedPage> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error(REMEDY);
  const browser = await chromium.launch({ executablePath, args: [...CHROMIUM_ARGS, ...args] });
  const page = await (await browser.newContext(context)).newPage(); // a context to which tabs can be added
  const errors: string[] = [];
  const note = (text: string) => {
    if (!expectedErrors.some((expected) => expected.test(text))) errors.push(text);
  };
  page.on("pageerror", (error) => note(error.stack ?? error.message));
  page.on("crash", () => note("the page crashed"));
  page.on("console", (message) => {
    if (message.type() === "error") note(`${message.text()} (${message.location().url})`);
  });
  const close = async () => {
    await browser.close();
    if (errors.length > 0) throw new Error(`Unexpected errors in the page:\n${errors.join("\n")}`);
  };
  return { page, browser, errors, close };
}

/** Writes test-results/`name`.png. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  await page.screenshot({ path: join(RESULTS, `${name}.png`), fullPage: true });
}
