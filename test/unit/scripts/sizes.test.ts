/** The sizes that the build prints and bounds: an entry counts with what it imports at once, not with what comes later. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BOUNDS, checkSizes, measureSizes } from "../../../scripts/sizes.mjs";
import { createRandom } from "../../reference/compare.ts";

let dist = "";
const write = (name: string, text: string): void => writeFileSync(join(dist, name), text);
const gzipped = (...texts: string[]): number =>
  texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);

const ENTRY =
  'import { a } from "./client.js";\nexport { b } from "./errors.js";\nexport const c = () => import("./later.js");\n';
const CLIENT = 'import { b } from "./errors.js";\nexport const a = 1;\n';
const ERRORS = "export const b = 2;\n";

beforeEach(() => {
  dist = mkdtempSync(join(tmpdir(), "octavo-sizes-"));
  write("index.js", ENTRY);
  write("client.js", CLIENT);
  write("errors.js", ERRORS);
  write("later.js", "export const d = 3;\n");
  write("engine.worker.js", "postMessage(1);\n");
  write("io.worker.js", "postMessage(2);\n");
  vi.spyOn(console, "log").mockImplementation(() => {});
});
afterEach(() => {
  rmSync(dist, { recursive: true });
  vi.restoreAllMocks();
});

test("an entry counts with its static imports, each once; what is loaded later is listed without a bound", () => {
  const [entry, ...others] = measureSizes(dist);
  expect(entry).toEqual({
    name: "index.js",
    files: ["index.js", "client.js", "errors.js"],
    bytes: gzipped(ENTRY, CLIENT, ERRORS),
    bound: BOUNDS["index.js"],
  });
  expect(others.map(({ name, bound }) => [name, bound])).toEqual([
    ["engine.worker.js", BOUNDS["engine.worker.js"]],
    ["io.worker.js", BOUNDS["io.worker.js"]],
    ["later.js", undefined],
  ]);
});

test("a bound that is passed, by a part of the entry too, ends the build and names the file", () => {
  expect(() => checkSizes(dist)).not.toThrow();
  const { int } = createRandom();
  const noise = Array.from({ length: BOUNDS["index.js"] }, () => int(33, 126)).map((code) => String.fromCharCode(code));
  write("errors.js", `${ERRORS}//${noise.join("")}${noise.toReversed().join("")}\n`);
  expect(() => checkSizes(dist)).toThrow(/index\.js \d+ bytes, at most 15000/);
});
