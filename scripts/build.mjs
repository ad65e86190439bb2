// `npm run build`: the library into dist/, then the demo into dist-demo/. `--library` or `--demo` builds one of them.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { ensureDependencies, ROOT } from "./install.mjs";
import { checkSizes } from "./sizes.mjs";

const DIST = join(ROOT, "dist");
const ENTRIES = ["index", "node"];
const SPECIFIER = /(\bfrom\s*|\bimport\s*\(?\s*)"([^"]+)"/g;

const WORKER_DECLARATION = `/** The engine's worker: a script to be started, with nothing to import. Its address is \`LoadOptions.workerUrl\`. */
export {};
`;

/**
 * @param {string} script path of a package's command
 * @param {string[]} args
 */
function runNode(script, args) {
  const { status } = spawnSync(process.execPath, [join(ROOT, "node_modules", script), ...args], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error(`${script} ${args.join(" ")} failed.`);
}

/**
 * Rewrites the `.ts` specifiers of one declaration file to `.js`, as consumers need them, then those it imports.
 * A bare specifier is an error: dependencies are bundled, so a consumer could not resolve it.
 * @param {string} path
 * @param {Set<string>} seen
 */
function finishDeclaration(path, seen) {
  if (seen.has(path)) return;
  seen.add(path);
  const text = readFileSync(path, "utf8");
  if (text.includes("/// <reference types")) throw new Error(`${path} depends on ambient types of a package.`);
  /** @type {string[]} */
  const next = [];
  const rewritten = text.replace(SPECIFIER, (_, before, specifier) => {
    if (!specifier.startsWith("."))
      throw new Error(`${path} takes a type from "${specifier}", which dist does not hold.`);
    next.push(resolve(dirname(path), specifier.replace(/\.ts$/, ".d.ts")));
    return `${before}"${specifier.replace(/\.ts$/, ".js")}"`;
  });
  writeFileSync(path, rewritten);
  for (const target of next) finishDeclaration(target, seen);
}

// The compiler also describes what the public types do not mention, such as the worker protocol: that stays behind.
function buildTypes() {
  runNode("typescript/bin/tsc", ["-p", "tsconfig.build.json"]);
  const source = join(DIST, ".types/src");
  /** @type {Set<string>} */
  const reachable = new Set();
  for (const entry of ENTRIES) finishDeclaration(join(source, `${entry}.d.ts`), reachable);
  for (const path of reachable) {
    const target = join(DIST, relative(source, path));
    mkdirSync(dirname(target), { recursive: true });
    renameSync(path, target);
  }
  rmSync(join(DIST, ".types"), { recursive: true });
  writeFileSync(join(DIST, "engine.worker.d.ts"), WORKER_DECLARATION);
}

function buildLibrary() {
  rmSync(DIST, { recursive: true, force: true });
  runNode("vite/bin/vite.js", ["build", "--mode", "library"]);
  runNode("vite/bin/vite.js", ["build", "--mode", "node"]);
  buildTypes();
  checkSizes(DIST);
}

function buildDemo() {
  if (!existsSync(join(ROOT, "demo/index.html"))) throw new Error("demo/index.html is missing.");
  runNode("vite/bin/vite.js", ["build", "--mode", "demo"]);
}

/** Builds both, or the one that is named. @param {"library" | "demo"} [only] */
export function build(only) {
  if (only !== "demo") buildLibrary();
  if (only !== "library") buildDemo();
}

if (process.argv[1] === import.meta.filename) {
  ensureDependencies();
  build(process.argv.includes("--library") ? "library" : process.argv.includes("--demo") ? "demo" : undefined);
}
