/** The packed npm module as its users meet it: a page without a bundler, an app with one, and the type checker. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchPage, ROOT, servePath } from "./harness.ts";

const app = mkdtempSync(join(tmpdir(), "octavo-app-"));
const installed = join(app, "node_modules/octavo");

const write = (path: string, text: string) => {
  mkdirSync(dirname(join(app, path)), { recursive: true });
  writeFileSync(join(app, path), text);
};

// The answer can only come from the worker, so it proves that the worker started and that errors cross its border.
const APP_SCRIPT = `
const outcome = await loadModel(new URL("missing.gguf", location.href)).then(
  () => "loaded",
  (error) => error.name + (error instanceof SourceError ? " rebuilt" : ""),
);
document.body.dataset.outcome = outcome;`;

const page = (script: string) => `<!doctype html><title>app</title><link rel=icon href=data:,><body>${script}</body>`;

async function bodyText(folder: string): Promise<string> {
  const server = await servePath({ "/deep/app/": folder });
  const { page, close } = await launchPage({ expectedErrors: [/404/] });
  await page.goto(`${server.url}deep/app/`);
  // Not the body's text: an inline script is part of that before it has run.
  await page.waitForFunction(() => document.body.dataset.outcome !== undefined);
  const text = (await page.getAttribute("body", "data-outcome")) ?? "";
  await close();
  await server.close();
  // Without it the engine's worker would do the I/O, and answer all the same.
  expect(server.requests.some(({ path, status }) => /io\.worker[^/]*\.js$/.test(path) && status === 200)).toBe(true);
  return text.trim();
}

/** What `files` of the package load, at once or later, themselves included. */
function reachable(files: readonly string[], seen = new Set<string>()): Set<string> {
  for (const file of files) {
    if (seen.has(file)) continue;
    seen.add(file);
    const text = readFileSync(join(installed, "dist", file), "utf8");
    const parts = text.matchAll(/\b(?:from |import\()"\.\/([^"]+\.js)"/g);
    reachable(
      [...parts].map(([, name = ""]) => name),
      seen,
    );
  }
  return seen;
}

beforeAll(() => {
  // The build tier has just made dist/, so the prepack script need not.
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", app];
  const [{ filename }] = JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" }));
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(app, filename), "-C", installed, "--strip-components=1"]);
});

afterAll(() => rmSync(app, { recursive: true }));

describe("the packed module", () => {
  test("holds the library and nothing else", () => {
    const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    const kinds = new Set(files.filter((file) => file.includes(".")).map((file) => file.replace(/^.*?\./, ".")));
    expect([...kinds].sort()).toEqual([".d.ts", ".js", ".json", ".md", ".worker.d.ts", ".worker.js"]);
    expect(files).toEqual(
      expect.arrayContaining([
        "LICENSE",
        "dist/index.js",
        "dist/engine.worker.js",
        "dist/io.worker.js",
        "dist/grammar.worker.js",
        "dist/index.d.ts",
        "dist/node.js",
        "dist/node.d.ts",
      ]),
    );
  });

  test("needs no other package", () => {
    const { dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    expect(dependencies).toBeUndefined();
    // Parts that are loaded when they are wanted lie beside the entry, with addresses relative to it.
    const scripts = readdirSync(join(installed, "dist")).filter((name) => name.endsWith(".js"));
    const forPages = reachable(["index.js", ...scripts.filter((name) => name.endsWith(".worker.js"))]);
    expect(forPages).not.toContain("node.js");
    for (const file of scripts) {
      const whole = readFileSync(join(installed, "dist", file), "utf8");
      const text = forPages.has(file) ? whole : whole.replace(/^import .* from "node:[\w/]+";$/gm, "");
      expect(text).not.toMatch(/^(import|export)\b.*\bfrom "(?!\.\/)[^"]*";$/m);
      if (file.endsWith(".worker.js")) expect(text).not.toMatch(/^(import|export)\b.*\bfrom "[^"]*";$/m);
    }
  });

  test("has no script twice", () => {
    const dist = join(installed, "dist");
    const scripts = readdirSync(dist).filter((file) => file.endsWith(".js"));
    const texts = scripts.map((file) => readFileSync(join(dist, file), "utf8"));
    expect(scripts.filter((_, at) => texts.indexOf(texts[at] ?? "") !== at)).toEqual([]);
  });

  test("names no WebGPU type in its declarations, which older compilers do not know", () => {
    const dist = join(installed, "dist");
    const declarations = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".d.ts"),
    );
    const naming = declarations.filter((file) => /\bGPU[A-Z]\w+/.test(readFileSync(join(dist, file), "utf8")));
    expect(naming).toEqual([]);
  });

  test("carries the licences of what it bundles", () => {
    const text = readFileSync(join(installed, "dist/LICENSES.md"), "utf8");
    for (const name of ["comlink", "@huggingface/tokenizers", "@huggingface/jinja"])
      expect(text).toContain(`## ${name} `);
  });

  test("works in a page without a bundler, below any path, with no special headers", async () => {
    const importLine = 'import { loadModel, SourceError } from "./node_modules/octavo/dist/index.js";';
    write("plain/index.html", page(`<script type="module">${importLine}${APP_SCRIPT}</script>`));
    // The page and its node_modules in one folder, as a static host would have them.
    execFileSync("cp", ["-r", join(app, "node_modules"), join(app, "plain/node_modules")]);
    expect(await bodyText(join(app, "plain"))).toBe("SourceError rebuilt");
  });

  test("works in an app built by another bundler's run, worker included", async () => {
    write("bundled/index.html", page('<script type="module" src="./main.js"></script>'));
    write("bundled/main.js", `import { loadModel, SourceError } from "octavo";${APP_SCRIPT}`);
    const outDir = join(app, "bundled-dist");
    await build({ root: join(app, "bundled"), base: "./", configFile: false, logLevel: "error", build: { outDir } });
    const scripts = readdirSync(join(outDir, "assets")).filter((file) => file.endsWith(".js"));
    for (const worker of ["engine.worker", "io.worker", "grammar.worker"]) {
      expect(scripts.some((file) => file.startsWith(worker))).toBe(true);
    }
    expect(await bodyText(outDir)).toBe("SourceError rebuilt");
  });

  test.each([
    ["createChatStream", /Worker\(|comlink|postMessage|class Model|SourceError/i, 6000],
    ["errorCode, BudgetError", /Worker\(|comlink|postMessage|class Model|createChatStream/i, 8000],
  ])("an app that imports %s alone takes nothing else", async (names, others, maxBytes) => {
    write("shaken/index.html", page('<script type="module" src="./main.js"></script>'));
    write("shaken/main.js", `import { ${names} } from "octavo"; globalThis.used = [${names}];`);
    const outDir = join(app, "shaken-dist");
    const options = { outDir, minify: false, modulePreload: false, emptyOutDir: true } as const;
    await build({ root: join(app, "shaken"), configFile: false, logLevel: "error", build: options });
    const scripts = readdirSync(join(outDir, "assets"));
    expect(scripts).toHaveLength(1); // no worker, and nothing to be loaded later
    const text = readFileSync(join(outDir, "assets", scripts[0] ?? ""), "utf8");
    expect(text).not.toMatch(others);
    expect(text).toContain(names.split(",")[0]);
    expect(text.length).toBeLessThan(maxBytes);
  });

  test.each(["bundler", "nodenext"])("types check for a consumer without our packages (%s)", (moduleResolution) => {
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
      target: "ES2022",
      lib: ["ES2022", "DOM"],
      module: moduleResolution === "bundler" ? "ESNext" : "NodeNext",
      moduleResolution,
    };
    write("types/tsconfig.json", JSON.stringify({ compilerOptions, files: ["main.mts"] }));
    const source = readFileSync(join(ROOT, "test/types/public.test-d.ts"), "utf8");
    const consumer = source.replace('"../../src/index.ts"', '"octavo"');
    expect(consumer).not.toBe(source);
    write("types/main.mts", consumer);
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", join(app, "types")], { encoding: "utf8" });
    expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
  });
});
