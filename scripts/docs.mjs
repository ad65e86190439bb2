// `npm run docs`: the reference, from the docstrings of the built declarations, and the guides of docs/ into dist-docs/:
// static files that work from any path and from disk. What is not documented, or links nowhere, fails.
//   --built: dist/ is up to date
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const SITE = join(ROOT, "docs/site");
const OUT = join(ROOT, "dist-docs");
/** What TypeDoc's theme leaves out, and a screen reader looks for. */
const LANDMARKS = /** @type {const} */ ([
  ['<div class="col-content">', '<div class="col-content" role="main">'],
  ['<div class="col-sidebar">', '<div class="col-sidebar" role="complementary" aria-label="Contents and settings">'],
]);

function addLandmarks() {
  for (const name of readdirSync(OUT, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".html")) continue;
    const path = join(OUT, name);
    let text = readFileSync(path, "utf8");
    for (const [before, after] of LANDMARKS) {
      if (!text.includes(before)) throw new Error(`${path}: no ${before}; TypeDoc's theme has changed.`);
      text = text.replace(before, after);
    }
    writeFileSync(path, text);
  }
}

try {
  ensureDependencies();
  if (!process.argv.includes("--built")) build("library");
  ensureDependencies("docs/site"); // apart from the rest: TypeDoc needs an older TypeScript
  const args = [join(SITE, "node_modules/typedoc/bin/typedoc"), "--options", join(SITE, "typedoc.json")];
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) throw new Error("TypeDoc failed: what it warns of must be documented or corrected.");
  addLandmarks();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
