// `npm test`: every check there is, from nothing but Node and npm. Installs what is missing, goes on after a failing
// tier, and ends with one line of counts. What did not run counts as failed: a skipped test, an empty tier, no GPU.
//   node scripts/test.mjs                      all tiers
//   node scripts/test.mjs --tier=unit,shaders  some of them
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countReport } from "./count-report.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

/** @typedef {import("./count-report.mjs").Count} Count */

// Longer than any tier takes on two slow cores; a browser that hangs must not hold the run for ever.
const TIER_LIMIT_MS = 40 * 60_000;

const reports = mkdtempSync(join(tmpdir(), "octavo-test-"));

/** @param {string[]} args of node */
function runNode(args) {
  const options = /** @type {const} */ ({ cwd: ROOT, stdio: "inherit", timeout: TIER_LIMIT_MS });
  const { status, signal } = spawnSync(process.execPath, args, options);
  if (signal) console.error(`Ended by ${signal}.`);
  return status === 0;
}

/**
 * A tier that is one command and counts as one check.
 * @param {string[][]} commands
 * @returns {() => Count}
 */
function single(...commands) {
  return () => {
    const passed = commands.map(runNode).every(Boolean);
    return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, notes: passed ? [] : ["failed; see above"] };
  };
}

/**
 * A tier of vitest tests, which are counted one by one.
 * @param {string} project
 * @param {string[]} more of its arguments
 * @returns {() => Count}
 */
function vitest(project, ...more) {
  return () => {
    const file = join(reports, `${project}.json`);
    const reporters = ["--reporter=default", "--reporter=./test/gpu-reporter.ts", "--reporter=json"];
    const args = ["run", "--project", project, ...more, ...reporters, `--outputFile.json=${file}`];
    const ok = runNode(["node_modules/vitest/vitest.mjs", ...args]);
    try {
      return countReport(JSON.parse(readFileSync(file, "utf8")), ok);
    } catch {
      return { passed: 0, failed: 1, notes: ["the tier did not run: no report was written"] };
    }
  };
}

/** @type {Record<string, () => Count>} */
const TIERS = {
  typecheck: single(["node_modules/typescript/bin/tsc", "--noEmit"]),
  lint: single(["scripts/check-imports.mjs"], ["node_modules/@biomejs/biome/bin/biome", "ci", "--error-on-warnings"]),
  build: single(["scripts/build.mjs"], ["scripts/check-package.mjs"]), // the e2e tests drive what it makes
  // On every core; by itself vitest leaves one unused.
  unit: vitest("unit", "--maxWorkers=100%"),
  shaders: vitest("shaders", "--maxWorkers=100%"),
  gpu: vitest("gpu"),
  e2e: vitest("e2e"),
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

async function main() {
  const names = chosenTiers();
  ensureDependencies();
  if (names.includes("gpu") || names.includes("e2e")) await prepareChromium();
  /** @type {Map<string, Count>} */
  const counts = new Map();
  for (const name of names) {
    console.log(`\n── ${name} ──`);
    counts.set(name, TIERS[name]?.() ?? { passed: 0, failed: 1, notes: ["no such tier"] });
  }
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
