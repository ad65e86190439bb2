// `npm test`: every check there is, from nothing but Node and npm. Installs what is missing, goes on after a failing
// tier, and ends with one line of counts. What did not run counts as failed: a skipped test, an empty tier, no GPU.
// The GPU tier runs beside all others: a software adapter compiles one kernel at a time, and leaves a core to them.
//   node scripts/test.mjs                      all tiers
//   node scripts/test.mjs --tier=unit,shaders  some of them
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { countReport } from "./count-report.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

/** @typedef {import("./count-report.mjs").Count} Count */

// Longer than any tier takes on two slow cores; a browser that hangs must not hold the run for ever.
const TIER_LIMIT_MS = 40 * 60_000;

// Of the GPU project, and what needs least of it: every kernel by itself, on devices of their own.
const KERNELS = "test/gpu/kernels";

const reports = mkdtempSync(join(tmpdir(), "octavo-test-"));

/**
 * @param {string[]} args of node
 * @param {string} label before every line it prints, "" where nothing else is printed meanwhile
 * @returns {Promise<boolean>}
 */
function runNode(args, label) {
  /** @type {import("node:child_process").StdioOptions} */
  const stdio = label === "" ? "inherit" : ["ignore", "pipe", "pipe"];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio, timeout: TIER_LIMIT_MS });
  for (const input of [child.stdout, child.stderr]) {
    if (input) createInterface({ input }).on("line", (line) => console.log(`${label}${line}`));
  }
  return new Promise((resolve) => {
    child.on("error", (error) => console.error(`${label}${error.message}`));
    child.on("close", (status) => resolve(status === 0));
    child.on("exit", (_, signal) => {
      if (!signal) return;
      console.error(`${label}Ended by ${signal}.`);
      resolve(false); // what it had started may hold its output open
    });
  });
}

/** @typedef {(label: string) => Promise<Count>} Tier */

/**
 * A tier that is a few commands and counts as one check.
 * @param {string[][]} commands
 * @returns {Tier}
 */
function single(...commands) {
  return async (label) => {
    let passed = true;
    for (const command of commands) passed = (await runNode(command, label)) && passed;
    return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, notes: passed ? [] : ["failed; see above"] };
  };
}

/**
 * A tier of vitest tests, which are counted one by one.
 * @param {string} project
 * @param {string[]} more of its arguments
 * @returns {Tier}
 */
function vitest(project, ...more) {
  return async (label) => {
    const file = join(mkdtempSync(join(reports, "tier-")), "report.json");
    const reporters = ["--reporter=default", "--reporter=./test/gpu-reporter.ts", "--reporter=json"];
    const args = ["run", "--project", project, ...more, ...reporters, `--outputFile.json=${file}`];
    const ok = await runNode(["node_modules/vitest/vitest.mjs", ...args], label);
    try {
      return countReport(JSON.parse(readFileSync(file, "utf8")), ok);
    } catch {
      return { passed: 0, failed: 1, notes: ["the tier did not run: no report was written"] };
    }
  };
}

/** @type {Record<string, Tier>} */
const TIERS = {
  typecheck: single(["node_modules/typescript/bin/tsc", "--noEmit"]),
  lint: single(["scripts/check-imports.mjs"], ["node_modules/@biomejs/biome/bin/biome", "ci", "--error-on-warnings"]),
  build: single(["scripts/build.mjs"], ["scripts/check-package.mjs"]), // the e2e tests drive what it makes
  // On every core; by itself vitest leaves one unused.
  unit: vitest("unit", "--maxWorkers=100%"),
  shaders: vitest("shaders", "--maxWorkers=100%"),
  e2e: vitest("e2e"),
  // Last of its lane, to end when the GPU tier does.
  kernels: vitest("gpu", KERNELS),
  gpu: vitest("gpu", `--exclude=${KERNELS}/**`),
};

function chosenTiers() {
  const flag = process.argv.find((arg) => arg.startsWith("--tier="));
  const names = flag ? flag.slice("--tier=".length).split(",") : Object.keys(TIERS);
  const unknown = names.filter((name) => !(name in TIERS));
  if (unknown.length > 0) throw new Error(`No tier "${unknown}"; there are: ${Object.keys(TIERS).join(", ")}.`);
  return names;
}

async function prepareChromium() {
  // Imported late: it needs playwright, which ensureDependencies may only just have installed.
  const { ensureChromium } = await import("./chromium.mjs");
  try {
    process.env.CHROMIUM_PATH = ensureChromium();
    console.log(`Chromium: ${process.env.CHROMIUM_PATH}`);
  } catch (error) {
    // The browser tiers will fail and say so; the others are still worth running.
    console.error(error instanceof Error ? error.message : error);
  }
}

/** @param {string} name @param {Count} count */
function printTier(name, { passed, failed, notes }) {
  console.log(`${name.padEnd(10)} ${passed} passed, ${failed} failed`);
  for (const note of notes) console.log(`           ${note}`);
}

/**
 * @param {string[]} names of tiers, run one after another
 * @param {Map<string, Count>} counts is added to
 * @param {boolean} isAlone
 */
async function runLane(names, counts, isAlone) {
  for (const name of names) {
    const label = isAlone ? "" : `${name.padEnd(9)} | `;
    const started = performance.now();
    console.log(isAlone ? `\n── ${name} ──` : `${label}begins`);
    counts.set(name, (await TIERS[name]?.(label)) ?? { passed: 0, failed: 1, notes: ["no such tier"] });
    console.log(`${label}took ${((performance.now() - started) / 1000).toFixed(0)} s`);
  }
}

async function main() {
  const names = chosenTiers();
  ensureDependencies();
  if (["gpu", "kernels", "e2e"].some((name) => names.includes(name))) await prepareChromium();
  const counts = new Map(names.map((name) => [name, /** @type {Count} */ ({ passed: 0, failed: 1, notes: [] })]));
  // Alone, the two would begin together, and both make the same models and modules for the browser.
  const isGpuAlone = names.every((name) => name === "gpu" || name === "kernels");
  const isApart = (/** @type {string} */ name) => name === "gpu" && !isGpuAlone;
  const lanes = [names.filter(isApart), names.filter((name) => !isApart(name))];
  const isAlone = lanes.some((lane) => lane.length === 0);
  await Promise.all(lanes.map((lane) => runLane(lane, counts, isAlone)));
  rmSync(reports, { recursive: true, force: true });
  console.log("");
  for (const [name, count] of counts) printTier(name, count);
  const sum = (/** @type {"passed" | "failed"} */ key) =>
    [...counts.values()].reduce((total, count) => total + count[key], 0);
  console.log(`\n${sum("passed")} passed, ${sum("failed")} failed`);
  process.exitCode = sum("failed") > 0 ? 1 : 0;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
