// `npm run try:large -- [--rung L12 --type q4_0 ... | --file MODEL.gguf] [--budget MB] [--ram MB] [--context N] [--tokens N]
// [--prompt TEXT | --ids 1,2]`: generates over HTTP in a real Chromium, under a GPU budget and with a RAM tier, with a virtual
// model or one of this disk, and prints what it took: time, bytes fetched, memory of the browser's processes, JavaScript heaps
// and how they grow from token to token. `--json FILE` keeps the figures; other options are those of `npm run serve:virtual`.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { openBarePage } from "./bare-page.mjs";
import { growth, readHeaps } from "./heaps.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";
import { watchMemory } from "./process-memory.mjs";

const OWN = {
  budget: "600",
  ram: "",
  context: "256",
  tokens: "6",
  prompt: "Once upon a time",
  ids: "",
  json: "",
  file: "",
};
/** Heaps are read so often over a run: each time all garbage is collected first, which takes longer than a small model's token. */
const MOST_SAMPLES = 100;
const MODEL = ["--rung", "L12", "--type", "q4_0"];
const SAMPLE_MS = 100;
const mib = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const seconds = (/** @type {number} */ ms) => `${(ms / 1000).toFixed(2)} s`;

/**
 * Takes this script's options out of `args`; the rest describes the model.
 * @param {string[]} args
 */
function takeOwn(args) {
  const own = { ...OWN };
  /** @type {string[]} */
  const rest = [];
  for (let i = 0; i < args.length; i += 2) {
    const [name = "", value = ""] = args.slice(i, i + 2);
    const key = name.replace(/^--/, "");
    if (key in own) Object.assign(own, { [key]: value });
    else rest.push(name, value);
  }
  return { own, model: rest.length > 0 ? rest : MODEL };
}

/** @param {string[]} args @param {string} onDisk */
async function serve(args, onDisk) {
  const { runnerImport } = await import("vite"); // late: ensureDependencies may only just have installed it
  /** @type {{ module: typeof import("../test/virtual/serve.ts") }} */
  const { module } = await runnerImport(`${ROOT}/test/virtual/serve.ts`, { root: ROOT, logLevel: "error" });
  const file = (/** @type {string} */ path) => readFileSync(`${ROOT}/${path}`);
  const serveDisk = async () => {
    const bytes = readFileSync(onDisk);
    const server = await module.serveFiles({ "model.gguf": bytes });
    return Object.assign(server, { modelUrl: `${server.url}model.gguf`, modelBytes: bytes.length });
  };
  return {
    model: onDisk ? await serveDisk() : await module.serveArguments(args),
    page: await module.serveFiles({
      "page.html": file("scripts/large-model.html"),
      ...Object.fromEntries(
        readdirSync(`${ROOT}/dist`)
          .filter((name) => name.endsWith(".js"))
          .map((name) => [`octavo/${name}`, file(`dist/${name}`)]),
      ),
    }),
  };
}

/**
 * @param {import("./bare-page.mjs").BarePage} page
 * @param {typeof OWN} own
 * @param {Awaited<ReturnType<typeof serve>>["model"]} server
 * @param {ReturnType<typeof watchMemory>} processes
 */
async function generate(page, own, server, processes) {
  const call = (/** @type {string} */ name, /** @type {unknown[]} */ ...args) =>
    page.evaluate(`largeModel.${name}(...${JSON.stringify(args)})`);
  const started = performance.now();
  const options = {
    gpuBudgetBytes: Number(own.budget) * 1e6,
    contextLength: Number(own.context),
    ...(own.ram ? { ramBudgetBytes: Number(own.ram) * 1e6 } : {}),
  };
  const { adapter, memory } = await call("load", server.modelUrl, options);
  const loadMs = performance.now() - started;
  const loadPeak = processes.peaks().together;
  const loadedNow = processes.now();
  const prompt = own.ids ? own.ids.split(",").map(Number) : await call("encode", own.prompt);
  console.log(
    `loaded in ${seconds(loadMs)} on ${adapter}: ${memory.slotsPerLayer} of ${memory.expertsPerLayer} experts a layer`,
  );
  const logits = await call("prefill", prompt, Number(own.tokens));
  if (!logits.finite) throw new Error("logits are not finite");
  /** @type {{ id: number, ms: number }[]} */
  const tokens = [];
  /** @type {({ token: number } & Awaited<ReturnType<typeof readHeaps>>)[]} */
  const samples = [];
  const every = Math.ceil(Number(own.tokens) / MOST_SAMPLES);
  let firstTokenMs = 0;
  let firstTokenBytes = 0;
  for (let i = 0; i < Number(own.tokens); i++) {
    const start = performance.now();
    const id = await call("next");
    const ms = performance.now() - start;
    if (i === 0) {
      firstTokenMs = performance.now() - started;
      firstTokenBytes = (await call("stats")).networkBytes;
    }
    tokens.push({ id, ms });
    if (i % every > 0 && i < Number(own.tokens) - 1) continue;
    const heap = await readHeaps(page);
    if (heap.workers.heap === 0) throw new Error("the workers' heaps could not be read");
    samples.push({ token: i + 1, ...heap });
    console.log(
      `token ${i + 1}: ${id} in ${seconds(ms)}, worker heap ${mib(heap.workers.heap)} + ${mib(heap.workers.buffers)} buffers`,
    );
  }
  const stats = await call("stats");
  const ids = tokens.map(({ id }) => id);
  const text = own.ids ? "" : await call("decode", ids); // a model that is given ids may have no vocabulary
  const left = await call("dispose");
  const residents = { loadPeak, loadedNow, ...processes.peaks() };
  return {
    adapter,
    memory,
    residents,
    prompt,
    logits,
    loadMs,
    firstTokenMs,
    firstTokenBytes,
    tokens,
    samples,
    stats,
    text,
    left,
  };
}

/** @param {string[]} args */
async function run(args) {
  const { own, model } = takeOwn(args);
  const servers = await serve(model, own.file);
  /** @type {(() => Promise<unknown>)[]} */
  const closers = [() => servers.model.close(), () => servers.page.close()];
  try {
    const page = await openBarePage(`${servers.page.url}page.html`);
    closers.unshift(page.close);
    const processes = watchMemory(page.pid, SAMPLE_MS);
    closers.unshift(async () => processes.stop());
    const figures = await generate(page, own, servers.model, processes);
    return { ...figures, modelBytes: servers.model.modelBytes, options: own };
  } finally {
    for (const close of closers) await close();
  }
}

/** @param {Awaited<ReturnType<typeof run>>} figures */
function print(figures) {
  const { stats, tokens, modelBytes, residents } = figures;
  const later = tokens.slice(1).reduce((sum, { ms }) => sum + ms, 0);
  const share = ((figures.firstTokenBytes / modelBytes) * 100).toFixed(1);
  const { samples } = figures;
  const grown = (/** @type {"heap" | "buffers"} */ what) => {
    const { first, last, perToken, noise, flat } = growth(
      samples.map(({ token, page, workers }) => ({ token, bytes: page[what] + workers[what] })),
    );
    const slope = `${(perToken / 1024).toFixed(2)} KiB a token, samples ${(noise / 1024).toFixed(0)} KiB about the line`;
    return `${mib(first)} after the first token, ${mib(last)} after the last; ${slope}: ${flat ? "flat" : "growing"}`;
  };
  const rows = {
    "prompt, text": `${figures.prompt.length} ids, ${JSON.stringify(figures.text)}`,
    "first token": `${seconds(figures.firstTokenMs)} from the address, prefill ${seconds(stats.prefillMs)}`,
    decode: `${((tokens.length - 1) / (later / 1000)).toFixed(3)} tok/s, ${(stats.decodeRounds / stats.decodeTokens).toFixed(2)} rounds a token`,
    "fetched by then": `${mib(figures.firstTokenBytes)} of ${mib(modelBytes)}, ${share} %`,
    "fetched in all": `${mib(stats.networkBytes)}, ${stats.expertsFetched} experts, ${stats.evictions} evicted`,
    "GPU by the ledger": `${mib(stats.gpuBytesPeak)} at its peak of ${mib(Number(figures.options.budget) * 1e6)}`,
    "renderer + GPU process": `${mib(residents.together)} resident at the peak, ${mib(residents.loadPeak)} at that of loading, ${mib(residents.loadedNow)} when loaded`,
    "each at its peak": Object.entries(residents.each)
      .map(([kind, bytes]) => `${kind} ${mib(bytes)}`)
      .join(", "),
    "JavaScript heap": grown("heap"),
    "array buffers": grown("buffers"),
    "left in the ledger": JSON.stringify(figures.left),
  };
  for (const [name, value] of Object.entries(rows)) console.log(`${name.padEnd(24)}${value}`);
}

try {
  ensureDependencies();
  const { build } = await import("./build.mjs");
  build("library");
  const figures = await run(process.argv.slice(2));
  print(figures);
  if (figures.options.json) writeFileSync(figures.options.json, `${JSON.stringify(figures, null, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
