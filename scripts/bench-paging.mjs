// `npm run bench:paging -- [--model tales|l12] [--parts rows,cost,cold] [--links memory,disk,latency,network,latency-http1,...]
// [--budgets 1,0.5,0.25,0.12] [--modes NAME,...] [--tokens N] [--rounds N] [--quick] [--json FILE]`: what paging keeps and
// costs, in a real Chromium. Every part and row can be run by itself.
// rows: how much of its resident speed a model keeps when its experts come through a link, with run-ahead on and off side by
//   side; every run is paired with one of the fully resident model in the same page.
// cost: what the pager costs when every expert is there: against a model whose look-up is compiled out, and what queueing the
//   next step brings; runs in turns, median and quartiles of the paired ratios.
// cold: bytes through the link from a cold start, by tokens generated.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { openBarePage } from "./bare-page.mjs";
import { budgetFor, coldCurve, costs, MODES, rows } from "./bench-paging-parts.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const TEXT =
  "Once upon a time there was a little girl who lived in a small house at the edge of the forest with her old " +
  "grandmother and a grey cat. Every morning she went to the well";

const DISK = { latencyMs: 1, bytesPerSecond: 2e9 };
const LATENCY = { latencyMs: 30, bytesPerSecond: Number.POSITIVE_INFINITY };
const NETWORK = { latencyMs: 30, bytesPerSecond: 12e6 };
/**
 * Links that bytes come through: latency of a request, bandwidth of all together. `memory` waits for nothing. `within`: imposed
 * inside the I/O worker, on bytes in its memory (scripts/bench-link.ts), so that no server shares the processor. The others
 * are servers on this machine. Browsers send a host six HTTP/1.1 requests at a time; content networks speak HTTP/2.
 * @type {Record<string, { link?: import("../test/virtual/link.ts").LinkModel, http2: boolean, within?: boolean }>}
 */
const LINKS = {
  memory: { http2: false },
  disk: { link: DISK, http2: false, within: true },
  latency: { link: LATENCY, http2: true, within: true },
  network: { link: NETWORK, http2: true, within: true },
  far: { link: { ...LATENCY, latencyMs: 200 }, http2: true, within: true },
  "latency-http2": { link: LATENCY, http2: true },
  "network-http2": { link: NETWORK, http2: true },
  "latency-http1": { link: LATENCY, http2: false },
  "network-http1": { link: NETWORK, http2: false },
};
/** The HTTP/2 server makes its certificate itself. */
const IGNORE_CERTIFICATES = "--ignore-certificate-errors";

const PARTS = ["rows", "cost", "cold"];
const MODELS = {
  tales: {
    budgets: [1, 0.5, 0.25, 0.12],
    links: ["memory", "disk", "latency", "network"],
    tokens: 32,
    rounds: 3,
    prompt: 20,
    context: 256,
  },
  l12: { budgets: [1, 0.25, 0.12], links: ["disk", "network"], tokens: 4, rounds: 1, prompt: 5, context: 64 },
};
/** Pairs of runs of a cost. */
const COST_ROUNDS = 15;

/** @param {string[]} args */
function parse(args) {
  const value = (/** @type {string} */ name) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? undefined : args[at + 1];
  };
  const among = (/** @type {string} */ name, /** @type {string[]} */ all, /** @type {string[]} */ otherwise) => {
    const chosen = value(name)?.split(",") ?? otherwise;
    const unknown = chosen.find((each) => !all.includes(each));
    if (unknown !== undefined) throw new Error(`--${name} ${unknown}: expected some of ${all.join(", ")}`);
    return chosen;
  };
  const model = value("model") ?? "tales";
  if (model !== "tales" && model !== "l12") throw new Error(`--model ${model}: expected tales or l12`);
  const quick = args.includes("--quick");
  const own = MODELS[model];
  return {
    model: /** @type {"tales" | "l12"} */ (model),
    parts: among("parts", PARTS, model === "tales" ? PARTS : ["rows", "cold"]),
    links: among("links", Object.keys(LINKS), quick ? ["memory", "latency"] : own.links),
    // Names of modes hold commas, so a part of a name chooses too.
    modes: Object.keys(MODES).filter((mode) => value("modes")?.split(";").includes(mode) ?? true),
    budgets: value("budgets")?.split(",").map(Number) ?? (quick ? [1, 0.25] : own.budgets),
    tokens: Number(value("tokens") ?? (quick ? 16 : own.tokens)),
    rounds: Number(value("rounds") ?? (quick ? 1 : own.rounds)),
    costRounds: Number(value("rounds") ?? (quick ? 3 : COST_ROUNDS)),
    coldTokens: Number(value("cold-tokens") ?? (model === "l12" ? 8 : 100)),
    prompt: own.prompt,
    context: own.context,
    json: value("json"),
  };
}

/** @typedef {ReturnType<typeof parse>} Settings */
/** @typedef {import("./bench-paging-parts.mjs").Call} Call */

/** @param {Settings} settings */
async function serve({ model, links }) {
  const { runnerImport } = await import("vite"); // late: ensureDependencies may only just have installed it
  const load = async (/** @type {string} */ path) =>
    (await runnerImport(`${ROOT}/${path}`, { root: ROOT, logLevel: "error" })).module;
  /** @type {typeof import("../test/virtual/serve.ts")} */
  const { serveFiles, serveVirtual } = await load("test/virtual/serve.ts");
  /** @type {typeof import("../test/virtual/link.ts")} */
  const { Link } = await load("test/virtual/link.ts");
  /** @type {typeof import("../test/virtual/checkpoint.ts")} */
  const { ladderCheckpoint } = await load("test/virtual/checkpoint.ts");
  const file = (/** @type {string} */ path) => readFileSync(`${ROOT}/${path}`);
  const tales = "demo/public/models/octavo-tales/octavo-tales-q8_0.gguf";
  const sources = await Promise.all(
    links.map(async (name) => {
      const { link, http2, within } = LINKS[name] ?? { http2: false };
      if (model === "l12") {
        const checkpoint = ladderCheckpoint({ container: "gguf", rung: "L12", type: "Q4_0", vocabulary: false });
        const server = await serveVirtual(checkpoint, { link, http2 });
        return { name, server, url: server.modelUrl, bytes: server.modelBytes };
      }
      const bytes = file(tales);
      const server = await serveFiles({ "tales.gguf": bytes }, within || !link ? {} : { http2, link: new Link(link) });
      const query = within && link ? `?link=${link.latencyMs},${link.bytesPerSecond}` : "";
      return { name, server, url: `${server.url}tales.gguf${query}`, bytes: bytes.length };
    }),
  );
  const built = readdirSync(`${ROOT}/dist`).filter((name) => name.endsWith(".js"));
  const page = await serveFiles({
    "page.html": file("scripts/bench-paging.html"),
    ...Object.fromEntries(built.map((name) => [`octavo/${name}`, file(`dist/${name}`)])),
    "octavo/bench-link.js": await bundled("scripts/bench-link.ts"),
    "octavo/io.worker.js": Buffer.concat([Buffer.from('import "./bench-link.js";\n'), file("dist/io.worker.js")]),
  });
  return { sources, page, close: () => Promise.all([page.close(), ...sources.map(({ server }) => server.close())]) };
}

/** A module and what it imports as one script. @param {string} entry */
async function bundled(entry) {
  const { build } = await import("vite");
  const built = await build({
    configFile: false,
    root: ROOT,
    logLevel: "error",
    build: { write: false, lib: { entry, formats: ["es"], fileName: "script" } },
  });
  const [chunk] = [built].flat().flatMap((each) => ("output" in each ? each.output : []));
  if (chunk?.type !== "chunk") throw new Error(`${entry} did not become a script`);
  return Buffer.from(chunk.code);
}

/** @param {Settings} settings */
async function run(settings) {
  const servers = await serve(settings);
  try {
    return await measure(settings, servers);
  } finally {
    await servers.close();
  }
}

/** @param {Settings} settings @param {Awaited<ReturnType<typeof serve>>} servers */
async function measure(settings, servers) {
  const page = await openBarePage(`${servers.page.url}page.html`, [IGNORE_CERTIFICATES]);
  try {
    /** @type {Call} */
    const call = (name, ...args) => page.evaluate(`paging.${name}(...${JSON.stringify(args)})`);
    const [first] = servers.sources;
    if (!first) throw new Error("no link to measure");
    const base = { contextLength: settings.context, cache: false };
    const plan = await call("needs", first.url, base);
    const warm = settings.parts.includes("rows") || settings.parts.includes("cost");
    const prompt = await promptOf(call, settings, first.url);
    if (warm) {
      await call("open", "resident", first.url, base);
      await call("run", "resident", prompt, settings.tokens);
    }
    const cost = settings.parts.includes("cost") ? await costs(call, settings, first.url, base, prompt) : undefined;
    const results = settings.parts.includes("rows")
      ? await rows(call, settings, servers.sources, base, plan, prompt)
      : [];
    if (warm) await call("close", "resident");
    const quarter = { contextLength: settings.context, gpuBudgetBytes: budgetFor(plan, 0.25) };
    const cold = settings.parts.includes("cold") ? await coldCurve(call, settings, prompt, first, quarter) : [];
    return {
      adapter: await call("adapter"),
      browser: await page.version(),
      model: settings.model,
      prompt,
      plan,
      cost,
      results,
      cold,
    };
  } finally {
    await page.close();
  }
}

/** @param {Call} call @param {Settings} settings @param {string} url */
async function promptOf(call, { model, prompt }, url) {
  if (model === "l12") return Array.from({ length: prompt }, (_, i) => 1000 + 37 * i);
  return (await call("encode", url, TEXT)).slice(0, prompt);
}

try {
  const settings = parse(process.argv.slice(2));
  ensureDependencies();
  const { build } = await import("./build.mjs");
  build("library");
  const figures = await run(settings);
  console.log(
    `\n${figures.model} on ${figures.adapter}, Chromium ${figures.browser}, ${settings.tokens} tokens x ${settings.rounds}`,
  );
  if (settings.json) writeFileSync(settings.json, `${JSON.stringify(figures, null, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
