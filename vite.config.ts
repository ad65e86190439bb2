import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin, type UserConfig } from "vite";

const ROOT = import.meta.dirname;
const WORKER_FILE = "engine.worker.js";

/**
 * Vite writes a worker's address as `new URL(new URL(file, import.meta.url).href, "" + import.meta.url)`, which works in
 * a page but which other bundlers do not recognise. This restores the one spelling that all of them know,
 * `new Worker(new URL("./file", import.meta.url), { type: "module" })`, so an app's bundler takes the worker along.
 */
function literalWorkerUrl(): Plugin {
  const vitesSpelling = new RegExp(
    String.raw`new URL\(\s*(?:/\* @vite-ignore \*/\s*)?(?:"" \+ )?new URL\(\s*"${WORKER_FILE}",\s*import\.meta\.url\s*\)\.href,` +
      String.raw`\s*(?:"" \+ )?import\.meta\.url\s*\)`,
    "g",
  );
  return {
    name: "octavo:literal-worker-url",
    enforce: "post",
    generateBundle(_options, bundle) {
      const index = bundle["index.js"];
      if (index?.type !== "chunk") return;
      const found = index.code.match(vitesSpelling)?.length ?? 0;
      if (found !== 1) this.error(`index.js should start ${WORKER_FILE} in one place; found ${found}.`);
      index.code = index.code.replace(vitesSpelling, `new URL("./${WORKER_FILE}", import.meta.url)`);
    },
  };
}

// The library: dist/index.js for the page and dist/engine.worker.js beside it, each whole in itself. Everything they
// import is bundled, so a page without a bundler can load them from any path of any static server; that is why
// package.json has devDependencies only. Not minified: an app's bundler does that, and a stack trace stays readable.
const library: UserConfig = {
  root: ROOT,
  base: "./",
  publicDir: false,
  build: {
    outDir: "dist",
    target: "es2022",
    minify: false,
    license: { fileName: "LICENSES.md" },
    lib: { entry: { index: "src/index.ts" }, formats: ["es"] },
  },
  worker: { format: "es", rolldownOptions: { output: { entryFileNames: "[name].js" } } },
  plugins: [literalWorkerUrl()],
};

const DEMO = join(ROOT, "demo");
const demoPages = existsSync(DEMO) ? readdirSync(DEMO).filter((name) => name.endsWith(".html")) : [];

// The demo: every page of demo/, with relative addresses so that it can be hosted under any path.
const demo: UserConfig = {
  root: DEMO,
  base: "./",
  cacheDir: join(ROOT, "node_modules/.vite"),
  server: { fs: { allow: [ROOT] } },
  build: {
    outDir: join(ROOT, "dist-demo"),
    emptyOutDir: true,
    target: "es2022",
    rolldownOptions: { input: demoPages.map((name) => join(DEMO, name)) },
  },
  worker: { format: "es" },
};

export default defineConfig(({ mode }) => (mode === "library" ? library : demo));
