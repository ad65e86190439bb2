/** Build steps that Vite lacks: a worker address that every bundler knows, and the licences of all that is bundled. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/**
 * Makes `fromFile` name the worker `workerFile` beside it so that every bundler sees it. Vite writes a worker's address as `new URL(new URL(file, import.meta.url).href, "" + import.meta.url)`, which works in
 * a page but which other bundlers do not recognise. This restores the one spelling that all of them know,
 * `new Worker(new URL("./file", import.meta.url), { type: "module" })`, so an app's bundler takes the worker along.
 */
export function literalWorkerUrl(fromFile: string, workerFile: string): Plugin {
  const inner = String.raw`(?:"" \+ )?new URL\(\s*"${workerFile}",\s*import\.meta\.url\s*\)\.href`;
  const spelling = String.raw`new URL\(\s*(?:/\* @vite-ignore \*/\s*)?${inner},\s*(?:"" \+ )?import\.meta\.url\s*\)`;
  const vitesSpelling = new RegExp(spelling, "g");
  return {
    name: "octavo:literal-worker-url",
    enforce: "post",
    generateBundle(_options, bundle) {
      const from = bundle[fromFile];
      if (from?.type !== "chunk") return;
      const found = from.code.match(vitesSpelling)?.length ?? 0;
      if (found !== 1) this.error(`${fromFile} should start ${workerFile} in one place; found ${found}.`);
      from.code = from.code.replace(vitesSpelling, `new URL("./${workerFile}", import.meta.url)`);
    },
  };
}

const PACKAGE_FOLDER = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;

function licenceSection(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : `Licence: ${license}`;
  return `## ${name} ${version} (${license})\n\n${text}\n`;
}

/**
 * Writes LICENSES.md: the licence of every package whose code is in the page's bundle or the worker's. Vite's own
 * `build.license` does not see into workers, where most of the packages are.
 */
export function bundledLicences(): { page: Plugin; worker: () => Plugin } {
  const folders = new Set<string>();
  const collect = (bundle: Record<string, unknown>): void => {
    for (const chunk of Object.values(bundle) as { modules?: Record<string, { renderedLength: number }> }[]) {
      for (const [id, { renderedLength }] of Object.entries(chunk.modules ?? {})) {
        const folder = PACKAGE_FOLDER.exec(id)?.[0];
        if (folder && renderedLength > 0 && existsSync(join(folder, "package.json"))) folders.add(folder);
      }
    }
  };
  return {
    // The worker's bundle is written while the page's modules are read, so the page's plugin comes last.
    worker: () => ({ name: "octavo:worker-licences", generateBundle: (_options, bundle) => collect(bundle) }),
    page: {
      name: "octavo:licences",
      generateBundle(_options, bundle) {
        collect(bundle);
        const sections = [...folders].map(licenceSection).sort();
        const source = ["# Licences of the packages bundled here\n", ...sections].join("\n");
        this.emitFile({ type: "asset", fileName: "LICENSES.md", source });
      },
    },
  };
}
