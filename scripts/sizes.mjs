// What a page downloads of the library, gzipped as servers send it: printed by the build, which fails beyond the bounds.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const KB = 1000;

/**
 * Most gzipped bytes: of the entry with everything that it imports at once, and of each worker, which holds all that it
 * needs. A tenth above what they were when the bound was set; who needs more raises it and says why.
 */
export const BOUNDS = { "index.js": 15 * KB, "engine.worker.js": 346 * KB, "io.worker.js": 127 * KB };

const STATIC_IMPORT = /^(?:import|export)\b[^"']*["']\.\/([^"']+)["'];?$/gm;

/** A file of `dist` and what it imports statically. @param {string} dist @param {string} file @param {Set<string>} seen */
function withImports(dist, file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, next = ""] of readFileSync(join(dist, file), "utf8").matchAll(STATIC_IMPORT))
    withImports(dist, next, seen);
  return seen;
}

/** @param {string} dist @param {Iterable<string>} files */
function gzipped(dist, files) {
  return [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(dist, file)), { level: 9 }).length, 0);
}

/**
 * Gzipped bytes of each bounded file with its static imports, and of what is loaded when it is wanted.
 * @param {string} dist
 * @returns {{ name: string, files: string[], bytes: number, bound: number | undefined }[]}
 */
export function measureSizes(dist) {
  const bounded = Object.entries(BOUNDS).map(([name, bound]) => ({ name, bound, files: [...withImports(dist, name)] }));
  const known = new Set(bounded.flatMap(({ files }) => files));
  const later = readdirSync(dist).filter((file) => file.endsWith(".js") && !known.has(file));
  const all = [...bounded, ...later.map((name) => ({ name, bound: undefined, files: [name] }))];
  return all.map((each) => ({ ...each, bytes: gzipped(dist, each.files) }));
}

/** Prints the sizes. @param {string} dist @throws Error naming what is beyond its bound */
export function checkSizes(dist) {
  const sizes = measureSizes(dist);
  for (const { name, files, bytes, bound } of sizes) {
    const limit = bound === undefined ? "loaded when wanted" : `of ${bound / KB} KB`;
    const parts = files.length > 1 ? ` with ${files.slice(1).join(", ")}` : "";
    console.log(`${(bytes / KB).toFixed(1).padStart(7)} KB gzipped, ${limit}: ${name}${parts}`);
  }
  const over = sizes.filter(({ bytes, bound }) => bound !== undefined && bytes > bound);
  if (over.length === 0) return;
  const names = over.map(({ name, bytes, bound }) => `${name} ${bytes} bytes, at most ${bound}`);
  throw new Error(`Larger than scripts/sizes.mjs allows: ${names.join("; ")}.`);
}
