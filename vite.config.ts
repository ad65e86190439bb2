import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type UserConfig } from "vite";
import { bundledLicences, literalWorkerUrl, serviceWorkerFiles } from "./scripts/vite-plugins.ts";

const ROOT = import.meta.dirname;
const DEMO = join(ROOT, "demo");
const WORKER_FILE = "engine.worker.js";
// Files of their own, so that an app which imports nothing of one takes none of it: comlink does something when loaded.
const PARTS = [
  { name: "errors", test: /\/src\/errors\.ts$/, priority: 2 },
  { name: "client", test: /\/src\/client\/|\/node_modules\/comlink\//, priority: 1 },
];
const PACKAGE = /^.*\/node_modules\/(?:@[^/]+\/)?([^/]+)\//;

/**
 * Where a chunk goes. One of a package is named after it: by its own file names, which may differ between browsers and Node,
 * the same bytes would lie in `dist` twice.
 */
function chunkFile({ name, facadeModuleId }: { name: string; facadeModuleId?: string | null }): string {
  if (PARTS.some((part) => part.name === name)) return "[name].js";
  return `${PACKAGE.exec(facadeModuleId ?? "")?.[1] ?? "[name]"}-[hash].js`;
}

const IO_WORKER_FILE = "io.worker.js";
const GRAMMAR_WORKER_FILE = "grammar.worker.js";
const SERVICE_WORKER = "service-worker.ts";

// The library: dist/index.js for the page, beside it dist/engine.worker.js, dist/io.worker.js and dist/grammar.worker.js, each whole in itself,
// and what reads a tokenizer without a model, loaded when one is asked for. Everything they
// import is bundled, so a page without a bundler can load them from any path of any static server; that is why
// package.json has devDependencies only. Not minified: an app's bundler does that, and a stack trace stays readable.
function library(): UserConfig {
  const licences = bundledLicences();
  return {
    root: ROOT,
    base: "./",
    publicDir: false,
    build: {
      outDir: "dist",
      target: "es2022",
      minify: false,
      lib: { entry: { index: "src/index.ts" }, formats: ["es"] },
      rolldownOptions: {
        output: {
          chunkFileNames: chunkFile,
          codeSplitting: { groups: PARTS },
        },
      },
    },
    worker: {
      format: "es",
      plugins: () => [
        literalWorkerUrl(WORKER_FILE, IO_WORKER_FILE),
        literalWorkerUrl(WORKER_FILE, GRAMMAR_WORKER_FILE),
        licences.worker(),
      ],
      rolldownOptions: { output: { entryFileNames: "[name].js", codeSplitting: false } },
    },
    plugins: [literalWorkerUrl("client.js", WORKER_FILE), licences.page],
  };
}

// The library in Node: dist/node.js, whole in itself but for Node's own modules. The caller brings the WebGPU.
function node(): UserConfig {
  return {
    root: ROOT,
    publicDir: false,
    ssr: { noExternal: true },
    build: {
      ssr: "src/node.ts",
      outDir: "dist",
      emptyOutDir: false, // the page's half is there
      target: "node20",
      minify: false,
      // Named as in the page's half, whose chunks some of these are again.
      rolldownOptions: { output: { chunkFileNames: chunkFile } },
    },
  };
}

// The demo: every page of demo/, with relative addresses so that it can be hosted under any path.
function demo(): UserConfig {
  const licences = bundledLicences();
  const pages = existsSync(DEMO) ? readdirSync(DEMO).filter((name) => name.endsWith(".html")) : [];
  return {
    root: DEMO,
    base: "./",
    appType: "mpa", // a missing file is a 404, not the page: a model's bytes must never turn out to be HTML
    cacheDir: join(ROOT, "node_modules/.vite"),
    // Met in the grammar worker only, with the first constraint: found then, they would make the page reload.
    optimizeDeps: { include: ["@mlc-ai/web-xgrammar", "@eslint-community/regexpp"] },
    server: { fs: { allow: [ROOT] } },
    build: {
      outDir: join(ROOT, "dist-demo"),
      emptyOutDir: true,
      target: "es2022",
      rolldownOptions: {
        input: [...pages, SERVICE_WORKER].map((name) => join(DEMO, name)),
        // A service worker serves what lies below it, and is found by its name.
        output: {
          entryFileNames: ({ name }) => (`${name}.ts` === SERVICE_WORKER ? "[name].js" : "assets/[name]-[hash].js"),
        },
      },
    },
    worker: {
      format: "es",
      plugins: () => [licences.worker()],
      rolldownOptions: { output: { codeSplitting: false } },
    },
    plugins: [licences.page, serviceWorkerFiles("service-worker.js", join(DEMO, "public"))],
  };
}

export default defineConfig(({ mode }) => {
  if (mode === "library") return library();
  return mode === "node" ? node() : demo();
});
