// `npm run docs`: the reference, from the docstrings of the built declarations, and the guides of docs/ into dist-docs/:
// static files that work from any path and from disk. What is not documented, or links nowhere, fails.
//   --built: dist/ is up to date
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build } from "./build.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const SITE = join(ROOT, "docs/site");

try {
  ensureDependencies();
  if (!process.argv.includes("--built")) build("library");
  ensureDependencies("docs/site"); // apart from the rest: TypeDoc needs an older TypeScript
  const args = [join(SITE, "node_modules/typedoc/bin/typedoc"), "--options", join(SITE, "typedoc.json")];
  process.exitCode = spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit" }).status ?? 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
