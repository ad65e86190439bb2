/** The examples as their readers run them: on the packed module and the built-in model, in real Chromium and in Node. */
import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium, type Worker } from "playwright";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHROMIUM_ARGS, findChromium, softwareVulkan } from "../../scripts/chromium.mjs";
import { launchPage, ROOT, type StaticServer, servePath } from "./harness.ts";

const MODEL_FILE = "octavo-tales-q8_0.gguf";
const MODELS = join(ROOT, "demo/public/models/octavo-tales");
const work = mkdtempSync(join(tmpdir(), "octavo-examples-"));
let server: StaticServer;

/** A copy of an example with the packed module installed beside it, and `packages` of the repository's own. */
function install(name: string, packages: readonly string[] = []): string {
  const folder = join(work, name);
  cpSync(join(ROOT, "examples", name), folder, { recursive: true });
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  cpSync(join(work, "package"), join(folder, "node_modules/octavo"), { recursive: true });
  for (const each of packages) symlinkSync(join(ROOT, "node_modules", each), join(folder, "node_modules", each));
  return folder;
}

beforeAll(async () => {
  // The build tier has just made dist/, so the prepack script need not.
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", work];
  const [{ filename }] = JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" }));
  execFileSync("tar", ["-xzf", join(work, filename), "-C", work]); // into package/
  const react = install("react", ["react", "react-dom", "scheduler", "csstype", "@types/react", "@types/react-dom"]);
  execFileSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", react], { stdio: "inherit" });
  // React's development half: the one in which StrictMode mounts everything twice.
  await build({ root: react, logLevel: "error", define: { "process.env.NODE_ENV": '"development"' } });
  server = await servePath({ "/": install("plain-html"), "/react/": join(react, "dist"), "/models/": MODELS });
});

afterAll(async () => {
  await server?.close();
  rmSync(work, { recursive: true, force: true });
});

describe("in a page", () => {
  test.each([
    ["plain HTML", "", 1],
    ["React under StrictMode", "react/", 2],
  ])("%s: loads, streams, stops, goes on", async (_name, path, loads) => {
    const { page, close } = await launchPage();
    const engines: Worker[] = [];
    page.on("worker", (worker) => /engine\.worker/.test(worker.url()) && engines.push(worker));
    await page.goto(`${server.url}${path}?model=/models/${MODEL_FILE}`);
    await page.getByText("Ready on").waitFor();
    expect(engines).toHaveLength(loads);
    // A load that was called off ends its worker; the browser may tell of that a moment later.
    await expect.poll(() => page.workers().filter((worker) => engines.includes(worker)).length).toBe(1);
    const text = page.locator("#text");
    const written = async () => (await text.textContent()) ?? "";
    await page.getByRole("button", { name: "Continue" }).click();
    await expect.poll(async () => (await written()).length, { timeout: 60_000 }).toBeGreaterThan(20);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByRole("button", { name: "Stop", disabled: true }).waitFor();
    const stopped = await written();
    expect(stopped).toMatch(/^Once upon a time\s?\S/);
    await page.getByLabel("Beginning").fill("The old king");
    await page.getByRole("button", { name: "Continue" }).click();
    await expect.poll(written, { timeout: 60_000 }).toMatch(/^The old king./);
    await close();
  });
});

test("an extension: its page runs the model; its service worker says why it cannot", async () => {
  const folder = install("extension");
  const executablePath = findChromium();
  const flags = [`--disable-extensions-except=${folder}`, `--load-extension=${folder}`];
  const browser = await chromium.launchPersistentContext("", {
    channel: "chromium", // the headless mode that has extensions
    ...(executablePath ? { executablePath } : {}),
    args: [...CHROMIUM_ARGS, ...flags],
  });
  const worker = browser.serviceWorkers()[0] ?? (await browser.waitForEvent("serviceworker"));
  const page = await browser.newPage();
  await page.goto(new URL("page.html", worker.url()).href);
  await page.getByLabel("Model").fill(`${server.url}models/${MODEL_FILE}`);
  await page.getByRole("button", { name: "Continue" }).click();
  await expect.poll(() => page.locator("#text").textContent(), { timeout: 60_000 }).toMatch(/^Once upon a time./);
  const answer = await page.evaluate(() => {
    const { runtime } = (globalThis as unknown as { chrome: { runtime: { sendMessage(m: string): Promise<string> } } })
      .chrome;
    return runtime.sendMessage("try here");
  });
  expect(answer).toMatch(/^UsageError: .*no Worker/);
  await browser.close();
});

test("Node: a batch on Dawn, from a path, and the process ends by itself", async () => {
  const folder = install("node-dawn", ["webgpu"]);
  const args = ["batch.mjs", join(MODELS, MODEL_FILE), "prompts.txt", "3"];
  const env = { ...process.env, ...softwareVulkan() };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: folder, env });
  const stories = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(stories.map(({ prompt }) => prompt)).toEqual(["Once upon a time", "The old king"]);
  // Greedy, so these are the tokens of any page as well.
  expect(stories[0]).toMatchObject({ ids: [446, 312, 264], text: " there was a" });
  expect(stories[1].ids).toHaveLength(3);
  expect(stderr).toMatch(/^\S.* on \S/m);
  expect(stderr).not.toContain("Warning");
});
