/**
 * Build steps that Vite lacks: a worker address that every bundler knows, the licences of all that is bundled, and the list
 * of files that a page needs to start without a network.
 */
import { createHash } from "node:crypto";
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

/**
 * Tells the service worker `fileName` what it keeps: every file of the bundle, and those that lie openly in `publicFolder`
 * itself, not in its folders: models are there. The digest over them all names the build.
 */
export function serviceWorkerFiles(fileName: string, publicFolder: string): Plugin {
  return {
    name: "octavo:service-worker-files",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const worker = bundle[fileName];
        if (worker?.type !== "chunk") this.error(`${fileName} is not in the bundle.`);
        const hash = createHash("sha256");
        const built = Object.keys(bundle).filter((name) => name !== fileName && name !== "LICENSES.md");
        const lying = readdirSync(publicFolder, { withFileTypes: true }).filter((entry) => entry.isFile());
        const files = [...built, ...lying.map(({ name }) => name)].sort();
        for (const name of files) {
          const made = bundle[name];
          hash.update(name);
          if (made) hash.update(made.type === "chunk" ? made.code : made.source);
          else hash.update(readFileSync(join(publicFolder, name)));
        }
        const written = worker.code
          .replace("__OCTAVO_BUILD__", hash.digest("hex").slice(0, 16))
          .replace(/(["'`])__OCTAVO_FILES__\1/, () => JSON.stringify(JSON.stringify(files)));
        if (/__OCTAVO_/.test(written)) this.error(`${fileName} should have a place for its files and its build.`);
        worker.code = written;
      },
    },
  };
}
