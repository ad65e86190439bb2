/** The guides are true as far as a compiler, a link and a list can tell; the site they become works from disk. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { launchPage, ROOT } from "./harness.ts";

const GUIDES = ["start", "models", "paging", "api", "troubleshooting"].map((name) => `docs/${name}.md`);
const EXAMPLES = ["", "plain-html/", "react/", "extension/", "node-dawn/"].map((name) => `examples/${name}README.md`);
const PAGES = [...GUIDES, "README.md", "ARCHITECTURE.md", ...EXAMPLES];
const SITE = join(ROOT, "dist-docs");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const guides = GUIDES.map(read).join("\n");

/** What a block leaves to its surroundings. */
function withSurroundings(code: string): string {
  const lines = ["export {};"];
  if (!/\b(const|let) model\b/.test(code)) lines.push('declare const model: import("octavo").Model;');
  if (/\boutput\./.test(code)) lines.push("declare const output: HTMLElement;");
  return `${code}\n${lines.join("\n")}\n`;
}

test("every block of code in README and guides compiles against the built types", () => {
  const folder = join(ROOT, "test-results/docs-blocks"); // within the repository, so that its packages are found
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  let blocks = 0;
  for (const path of [...GUIDES, "README.md"]) {
    for (const [, code = ""] of read(path).matchAll(/^```ts\n(.*?)^```$/gms)) {
      writeFileSync(join(folder, `${path.replace(/\W/g, "-")}-${++blocks}.ts`), withSurroundings(code));
    }
  }
  expect(blocks).toBeGreaterThan(12);
  const paths = { octavo: ["../../dist/index.d.ts"], "octavo/node": ["../../dist/node.d.ts"] };
  const lib = ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"];
  const compilerOptions = { strict: true, noEmit: true, target: "ES2022", lib, module: "ESNext", paths, types: [] };
  const modules = { moduleResolution: "bundler", skipLibCheck: true };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...compilerOptions, ...modules } }));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  expect(stdout).toBe("");
});

test.each(PAGES)("links in %s lead somewhere", (path) => {
  const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
  const relative = links.filter((link) => !/^(https?:|#)/.test(link));
  const missing = relative.filter((link) => !existsSync(join(ROOT, dirname(path), link.replace(/#.*/, ""))));
  expect(missing).toEqual([]);
});

/** Names of the properties of an interface in a declaration file. */
function properties(file: string, name: string): string[] {
  const [, body = ""] = new RegExp(`interface ${name}\\b[^{]*\\{(.*?)^\\}`, "ms").exec(read(file)) ?? [];
  return [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??:/gm)].map(([, property = ""]) => property);
}

describe("the guides name", () => {
  test.each([
    ["dist/client/types.d.ts", "LoadOptions", 15],
    ["dist/client/types.d.ts", "InspectOptions", 5],
    ["dist/generate/settings.d.ts", "GenerateSettings", 12],
  ])("what %s says of %s", (file, name, atLeast) => {
    const options = properties(file, name);
    expect(options.length).toBeGreaterThanOrEqual(atLeast);
    expect(options.filter((option) => !guides.includes(`\`${option}\``))).toEqual([]);
  });

  test("every code of an error", () => {
    const unions = [...read("dist/errors.d.ts").matchAll(/^export type \w+Code = (.*?);$/gms)];
    const codes = unions.flatMap(([, union = ""]) => [...union.matchAll(/"([\w-]+)"/g)].map(([, code = ""]) => code));
    expect(codes.length).toBeGreaterThan(25);
    expect(codes.filter((code) => !read("docs/troubleshooting.md").includes(`\`${code}\``))).toEqual([]);
  });
});

describe("the site", () => {
  beforeAll(() => {
    // The build tier has just made dist/.
    execFileSync(process.execPath, [join(ROOT, "scripts/docs.mjs"), "--built"], { cwd: ROOT, stdio: "inherit" });
  });

  test("works from disk: guides, reference, search; axe finds nothing; light and dark", async () => {
    // From disk, Chromium keeps a page from the icons of another file; the theme then draws them from a script.
    const expectedErrors = [/^Unsafe attempt to load URL \S+icons\.svg/];
    const { page, close } = await launchPage({ viewport: { width: 1280, height: 900 }, expectedErrors });
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8");
    for (const file of ["index.html", "documents/Troubleshooting.html"]) {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        await page.goto(pathToFileURL(join(SITE, file)).href);
        await page.evaluate(axe);
        const violations = await page.evaluate(async () => {
          const { axe } = globalThis as unknown as { axe: Axe };
          return (await axe.run({ preload: false })).violations.map(
            ({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(" | ")}`,
          );
        });
        expect([file, colorScheme, ...violations]).toEqual([file, colorScheme]);
      }
    }
    await page.goto(pathToFileURL(join(SITE, "classes/octavo.Model.html")).href);
    // Its list is read from a script, and the box is filled in only when that has run.
    await page.getByRole("button", { name: "Search" }).click();
    await expect
      .poll(
        async () => {
          await page.getByRole("combobox").fill("");
          await page.getByRole("combobox").fill("setBudget");
          const found = page.getByRole("option", { name: /setBudget/ });
          await found // it searches a moment after the last key
            .first()
            .waitFor({ timeout: 3000 })
            .catch(() => {});
          return found.count();
        },
        { timeout: 30_000 },
      )
      .toBeGreaterThan(0);
    expect(asked.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"))).toEqual([]);
    await close();
  });
});

interface AxeViolation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

interface Axe {
  /** Without `preload`, which would read the style sheets once more: pages from disk may not. */
  run(options: { preload: false }): Promise<{ violations: AxeViolation[] }>;
}
