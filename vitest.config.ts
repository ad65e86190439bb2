import { playwright } from "@vitest/browser-playwright";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { CHROMIUM_ARGS, findChromium } from "./scripts/chromium.mjs";

// Compute on the software adapter is slow; a test that hangs must still end.
const GPU_TIMEOUT_MS = 120_000;
// Tests that take two seconds by themselves take more beside the GPU tier.
const UNIT_TIMEOUT_MS = 30_000;
// What a page shows soon may take longer there.
const POLL_TIMEOUT_MS = 15_000;

// Without a Chromium this is undefined, and playwright's own error says what is missing.
const executablePath = findChromium();

// The engine's worker has 170 modules, and every test that loads a model starts one: what a browser has fetched, it keeps.
// Not while vitest watches, since a changed module would not be asked for again.
const keepModules: Plugin = {
  name: "keep-modules",
  configureServer: ({ middlewares }) => {
    if (!process.argv.includes("run")) return;
    middlewares.use(({ url = "" }, response, next) => {
      if (/\.(ts|wgsl|m?js)(\?|$)/.test(url)) {
        const setHeader = response.setHeader.bind(response);
        response.setHeader = (name, value) => setHeader(name, name === "Cache-Control" ? "max-age=3600" : value);
      }
      next();
    });
  },
};

export default defineConfig({
  test: {
    reporters: ["default", "./test/gpu-reporter.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          environment: "node",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: UNIT_TIMEOUT_MS,
          hookTimeout: UNIT_TIMEOUT_MS,
        },
      },
      {
        extends: true,
        test: { name: "shaders", environment: "node", include: ["test/shaders/**/*.test.ts"], testTimeout: 60_000 },
      },
      {
        extends: true,
        plugins: [keepModules],
        // Named here, for one first met while a test runs would make the page reload under it.
        optimizeDeps: {
          include: [
            ...["comlink", "@huggingface/tokenizers", "@huggingface/jinja", "fast-check", "ajv/dist/2020.js"],
            ...["@mlc-ai/web-xgrammar", "@eslint-community/regexpp"],
          ],
        },
        test: {
          name: "gpu",
          include: ["test/gpu/**/*.test.ts"],
          globalSetup: ["test/setup-gguf.ts"],
          setupFiles: ["test/setup-gpu.ts"],
          testTimeout: GPU_TIMEOUT_MS,
          hookTimeout: GPU_TIMEOUT_MS,
          // One page, one file after another: the files share one device and what it compiled (test/gpu/engines.ts).
          isolate: false,
          fileParallelism: false,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: { args: CHROMIUM_ARGS, ...(executablePath ? { executablePath } : {}) },
            }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          environment: "node",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: GPU_TIMEOUT_MS,
          hookTimeout: GPU_TIMEOUT_MS,
          expect: { poll: { timeout: POLL_TIMEOUT_MS } },
          fileParallelism: false,
        },
      },
    ],
  },
});
