// Holds the sources to the import direction of ARCHITECTURE.md: which folder may import which, no cycles, who may say
// GPUDevice, and who may read page globals. Biome cannot express a folder table in one place, so this is our own lint.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path/posix";
import { parseSync } from "vite";
import { ROOT } from "./install.mjs";

/**
 * What each area may import directly. An area may also import what its own imports may, but for the last ones.
 * @type {Record<string, string[]>}
 */
const BELOW = {
  errors: [],
  util: ["errors"],
  shaders: [],
  sources: ["util", "errors"],
  gpu: ["util", "errors"],
  formats: ["sources"],
  tokenizer: ["formats"],
  models: ["formats"],
  weights: ["models", "formats", "sources"],
  kernels: ["gpu", "shaders"],
  tiers: ["weights"],
  pager: ["weights", "gpu"],
  engine: ["kernels", "pager", "tiers", "weights", "models", "tokenizer"],
  grammar: ["util", "errors"],
  generate: ["engine", "grammar"],
  chat: ["generate"],
  workers: ["chat", "engine", "tiers", "grammar"],
  client: ["errors", "util"],
  common: ["client", "errors"],
  index: ["client", "common"],
  node: ["client", "common", "workers", "tokenizer", "grammar", "sources", "errors"],
  demo: ["index"],
};

/** These see only what is written in their line: they stand on the page's side of the worker. */
const PAGE_SIDE = ["client", "common", "index", "node", "demo"];

/**
 * What an area may import as types only: records that cross a border.
 * @type {Record<string, string[]>}
 */
const TYPES_ONLY = {
  client: ["models", "engine", "pager", "generate", "chat", "tokenizer"],
  common: ["models", "generate"],
  index: ["tiers"],
  node: ["models", "generate"],
  workers: ["client"],
  kernels: ["formats"],
};

/**
 * Single files open to an area that may not import their folder.
 * @type {Record<string, string[]>}
 */
const OPEN_FILES = {
  kernels: ["src/weights/layout.ts"], // the layout that kernels read
  client: [
    "src/tokenizer/open.ts", // a tokenizer without a model, loaded when one is asked for
    "src/tiers/catalog.ts", // which models are on disk, without a model too
  ],
  common: ["src/generate/chat-stream.ts"], // text in, text out
};

/** The engine and all below it run in any WebGPU host; only these read what a page or a worker has. */
const MAY_READ_GLOBALS = ["workers", ...PAGE_SIDE];
const PAGE_GLOBALS = ["navigator", "window", "self"];

/** @param {string} path repository-relative, with `/` */
export function areaOf(path) {
  const [top = "", second = ""] = path.split("/");
  return top === "src" ? second.replace(/\.ts$/, "") : top;
}

/** @param {string} area @returns {Set<string>} */
function reachable(area) {
  const direct = BELOW[area] ?? [];
  if (PAGE_SIDE.includes(area)) return new Set(direct);
  return new Set(direct.flatMap((below) => [below, ...reachable(below)]));
}

/**
 * @typedef {{ target: string, typesOnly: boolean }} Import
 * @typedef {{ imports: Import[], problems: string[] }} Module
 * @typedef {{ type?: string, name?: string, object?: AstNode, argument?: AstNode, operator?: string,
 *   id?: AstNode, params?: AstNode[] }} AstNode
 */

/**
 * @param {string} path
 * @param {string} specifier
 */
const resolveImport = (path, specifier) => normalize(join(dirname(path), specifier.replace(/\?.*$/, "")));

/**
 * @param {string} path
 * @param {string} text
 * @param {ReturnType<typeof parseSync>["module"]} module
 * @returns {Import[]}
 */
function importsOf(path, text, module) {
  /** @type {[string, boolean][]} */
  const found = [];
  for (const { moduleRequest, entries } of module.staticImports) {
    const typesOnly = entries.length > 0 && entries.every((/** @type {{ isType: boolean }} */ entry) => entry.isType);
    found.push([moduleRequest.value, typesOnly]);
  }
  for (const { entries } of module.staticExports) {
    for (const { moduleRequest, isType } of entries) if (moduleRequest) found.push([moduleRequest.value, isType]);
  }
  for (const { moduleRequest } of module.dynamicImports) {
    found.push([text.slice(moduleRequest.start + 1, moduleRequest.end - 1), false]);
  }
  const relative = found.filter(([specifier]) => specifier.startsWith("."));
  return relative.map(([specifier, typesOnly]) => ({ target: resolveImport(path, specifier), typesOnly }));
}

/**
 * Name of the page global that `node` asks for something, if it does.
 * @param {AstNode} node
 */
function globalRead(node) {
  const part =
    node.type === "MemberExpression"
      ? node.object
      : node.type === "UnaryExpression" && node.operator === "typeof"
        ? node.argument
        : undefined;
  return part?.type === "Identifier" && PAGE_GLOBALS.find((name) => name === part.name);
}

/**
 * @param {unknown} node
 * @param {(node: AstNode) => void} visit
 */
function walk(node, visit) {
  if (typeof node !== "object" || node === null) return;
  if ("type" in node) visit(/** @type {AstNode} */ (node));
  for (const child of Object.values(node)) walk(child, visit);
}

/**
 * @param {string} path
 * @param {unknown} program
 */
function wordProblems(path, program) {
  const area = areaOf(path);
  /** @type {Set<string>} */
  const problems = new Set();
  /** @type {Set<string | undefined>} */
  const ownNames = new Set(); // `window` may also be a local: a width of attention, a stretch of a file
  /** @type {Set<string>} */
  const globals = new Set();
  walk(program, (node) => {
    if (node.type === "Identifier" && node.name === "GPUDevice" && area !== "gpu") {
      problems.add(`${path}: only src/gpu may mention GPUDevice.`);
    }
    if (node.type === "VariableDeclarator") ownNames.add(node.id?.name);
    for (const param of node.params ?? []) ownNames.add(param.name);
    const name = globalRead(node);
    if (name && !MAY_READ_GLOBALS.includes(area)) globals.add(name);
  });
  for (const name of globals) {
    if (!ownNames.has(name))
      problems.add(`${path}: reads the page global "${name}"; take what is needed as a parameter.`);
  }
  return [...problems];
}

/**
 * @param {string} path
 * @param {Import} edge
 * @returns {string | undefined}
 */
function directionProblem(path, { target, typesOnly }) {
  const from = areaOf(path);
  const to = areaOf(target);
  if (from === to || reachable(from).has(to) || OPEN_FILES[from]?.includes(target)) return undefined;
  if (TYPES_ONLY[from]?.includes(to)) {
    return typesOnly ? undefined : `${path}: may import only types from ${target}.`;
  }
  return `${path}: ${from} may not import ${to} (${target}).`;
}

/**
 * @param {Map<string, Import[]>} graph
 * @returns {string[]} one line per cycle found
 */
function findCycles(graph) {
  /** @type {Set<string>} */
  const done = new Set();
  /** @type {string[]} */
  const cycles = [];
  /** @param {string} path @param {string[]} trail */
  const visit = (path, trail) => {
    if (trail.includes(path)) cycles.push(`import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(" → ")}`);
    if (done.has(path)) return;
    done.add(path);
    for (const { target } of graph.get(path) ?? []) visit(target, [...trail, path]);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}

/**
 * @param {ReadonlyMap<string, string>} files repository-relative path → text
 * @returns {string[]} what is wrong, one line each
 */
export function checkImports(files) {
  /** @type {Map<string, Import[]>} */
  const graph = new Map();
  /** @type {string[]} */
  const problems = [];
  for (const [path, text] of files) {
    if (!(areaOf(path) in BELOW)) problems.push(`${path}: this folder has no line in the table of check-imports.mjs.`);
    const { program, module } = parseSync(path, text);
    const imports = importsOf(path, text, module);
    graph.set(path, imports);
    problems.push(...imports.map((edge) => directionProblem(path, edge)).filter((line) => line !== undefined));
    problems.push(...wordProblems(path, program));
  }
  return [...problems, ...findCycles(graph)];
}

function readSources() {
  const paths = ["src", "workers", "demo"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  );
  const sources = paths.map((path) => path.replaceAll("\\", "/")).filter((path) => /\.tsx?$/.test(path));
  return new Map(sources.map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));
}

if (process.argv[1] === import.meta.filename) {
  const problems = checkImports(readSources());
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
