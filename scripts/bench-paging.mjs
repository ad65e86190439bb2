// `npm run bench:paging -- [--model tales|l12] [--links memory,disk,latency,network] [--budgets 1,0.5,0.25,0.12]
// [--tokens N] [--rounds N] [--quick] [--json FILE]`: how much of its resident speed a model keeps when its experts are
// paged through a link, with run-ahead on and off side by side, in a real Chromium. Every run is paired with one of the
// fully resident model in the same page. Also what the pager costs when all is there, and the bytes before the first token.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { CHROMIUM_ARGS, ensureChromium } from "./chromium.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const TEXT =
  "Once upon a time there was a little girl who lived in a small house at the edge of the forest with her old " +
  "grandmother and a grey cat. Every morning she went to the well";

/** Links that bytes come through: latency of a request, bandwidth of all together. `memory` waits for nothing. */
const LINKS = {
  memory: undefined,
  disk: { latencyMs: 1, bytesPerSecond: 2e9 },
  latency: { latencyMs: 30, bytesPerSecond: Number.POSITIVE_INFINITY },
  network: { latencyMs: 30, bytesPerSecond: 12e6 },
};

/** No tier between link and slots, so that the link is what is measured. */
const BARE = { cache: false, ramBudgetBytes: 0 };
const MODES = {
  "stop at first miss": { ...BARE, runAhead: 0, extraGuesses: 0 },
  "next layer predicted": { ...BARE, runAhead: 0, extraGuesses: 0, prefetch: "next-layer" },
  "run ahead": { ...BARE, runAhead: 1000, extraGuesses: 0 },
  "run ahead, 4 guesses": { ...BARE, runAhead: 1000, extraGuesses: 4 },
  "chosen by measurement": BARE,
  "chosen, with a RAM tier": { cache: false },
  "RAM tier and history": { cache: false, prefetch: "history" },
};

const MODELS = {
  tales: { budgets: [1, 0.5, 0.25, 0.12], links: Object.keys(LINKS), tokens: 32, rounds: 3, prompt: 20, context: 256 },
  l12: { budgets: [1, 0.25, 0.12], links: ["disk", "network"], tokens: 4, rounds: 1, prompt: 5, context: 64 },
};

/** @param {string[]} args */
function parse(args) {
  const value = (/** @type {string} */ name) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? undefined : args[at + 1];
  };
  const model = value("model") ?? "tales";
  if (model !== "tales" && model !== "l12") throw new Error(`--model ${model}: expected tales or l12`);
  const quick = args.includes("--quick");
  const own = MODELS[model];
  const links = value("links")?.split(",") ?? (quick ? ["memory", "latency"] : own.links);
  const unknown = links.find((link) => !(link in LINKS));
  if (unknown !== undefined) throw new Error(`--links ${unknown}: expected some of ${Object.keys(LINKS).join(", ")}`);
  return {
    model,
    links,
    budgets: value("budgets")?.split(",").map(Number) ?? (quick ? [1, 0.25] : own.budgets),
    tokens: Number(value("tokens") ?? (quick ? 16 : own.tokens)),
    rounds: Number(value("rounds") ?? (quick ? 1 : own.rounds)),
    prompt: own.prompt,
    context: own.context,
    json: value("json"),
  };
}

/** @typedef {ReturnType<typeof parse>} Settings */
/** @typedef {{ taken: number } & Record<string, number>} Run */
/** @typedef {(name: string, ...args: unknown[]) => Promise<any>} Call */

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
      const link = LINKS[/** @type {keyof typeof LINKS} */ (name)];
      if (model === "l12") {
        const checkpoint = ladderCheckpoint({ container: "gguf", rung: "L12", type: "Q4_0", vocabulary: false });
        const server = await serveVirtual(checkpoint, { link });
        return { name, server, url: server.modelUrl, bytes: server.modelBytes };
      }
      const bytes = file(tales);
      const server = await serveFiles({ "tales.gguf": bytes }, link ? { link: new Link(link) } : {});
      return { name, server, url: `${server.url}tales.gguf`, bytes: bytes.length };
    }),
  );
  const built = readdirSync(`${ROOT}/dist`).filter((name) => name.endsWith(".js"));
  const page = await serveFiles({
    "page.html": file("scripts/bench-paging.html"),
    ...Object.fromEntries(built.map((name) => [`octavo/${name}`, file(`dist/${name}`)])),
  });
  return { sources, page, close: () => Promise.all([page.close(), ...sources.map(({ server }) => server.close())]) };
}

const budgetFor = (/** @type {Record<string, number>} */ plan, /** @type {number} */ share) =>
  Math.max(plan.minBudgetBytes ?? 0, Math.floor((plan.fullBudgetBytes ?? 0) - (plan.expertBytes ?? 0) * (1 - share)));

/**
 * One setting against the resident model, in turns.
 * @param {Call} call
 * @param {Settings} settings
 * @param {number[]} prompt
 * @param {{ url: string, options: Record<string, unknown> }} what
 */
async function paired(call, { tokens, rounds }, prompt, { url, options }) {
  const { memory } = await call("open", "tested", url, options);
  await call("run", "tested", prompt, tokens); // compiles, learns, and brings in what this text wants
  /** @type {Run[]} */
  const runs = [];
  /** @type {number[]} */
  const ratios = [];
  for (let round = 0; round < rounds; round++) {
    /** @type {Run} */
    const full = await call("run", "resident", prompt, tokens);
    /** @type {Run} */
    const run = await call("run", "tested", prompt, tokens);
    runs.push(run);
    ratios.push((full.decodeMs ?? 0) / full.taken / ((run.decodeMs ?? 0) / run.taken));
  }
  await call("close", "tested");
  const per = (/** @type {string} */ name) =>
    runs.reduce((sum, run) => sum + (run[name] ?? 0), 0) /
    runs.reduce((sum, { decodeTokens = 0 }) => sum + decodeTokens, 0);
  return {
    slots: memory.slotsPerLayer,
    ratio: median(ratios),
    ratios,
    perSecond: 1000 / per("decodeMs"),
    rounds: per("decodeRounds"),
    clean: per("cleanSteps"),
    loads: per("expertsFetched"),
    bytes: per("expertBytesFetched"),
    linkBytes: per("networkBytes"),
    stallMs: per("stallMs"),
    useful: per("prefetchesUseful"),
    wasted: per("prefetchesWasted"),
  };
}

const median = (/** @type {number[]} */ values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2;
};
const mib = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

/**
 * Bytes through the link from a cold start, by tokens generated.
 * @param {Call} call
 * @param {Settings} settings
 * @param {number[]} prompt
 * @param {{ server: { sentBytes: number }, url: string, bytes: number }} source
 * @param {Record<string, unknown>} options
 */
async function coldCurve(call, settings, prompt, { server, url, bytes }, options) {
  const before = server.sentBytes;
  /** @type {{ at: string, share: number }[]} */
  const curve = [];
  const note = (/** @type {string} */ at) => curve.push({ at, share: (server.sentBytes - before) / bytes });
  await call("open", "cold", url, options);
  note("loaded");
  await call("prefill", "cold", prompt);
  await call("more", "cold", 1);
  note("1");
  const steps = settings.model === "l12" ? [2, 4, 8] : [10, 25, 50, 100];
  let done = 1;
  for (const step of steps) {
    await call("more", "cold", step - done);
    done = step;
    note(String(step));
  }
  await call("close", "cold");
  return curve;
}

/** @param {Settings} settings */
async function run(settings) {
  const servers = await serve(settings);
  const { chromium } = await import("playwright");
  const browser = await chromium.launch({ executablePath: ensureChromium(), args: CHROMIUM_ARGS });
  try {
    const page = await browser.newPage();
    page.on("console", (message) => console.error(message.text()));
    page.setDefaultTimeout(0);
    await page.goto(`${servers.page.url}page.html`);
    /** @type {Call} */
    const call = (name, ...args) => page.evaluate(`paging.${name}(...${JSON.stringify(args)})`);
    const [first] = servers.sources;
    if (!first) throw new Error("no link to measure");
    const base = { contextLength: settings.context, cache: false };
    const plan = await call("needs", first.url, base);
    const { adapter } = await call("open", "resident", first.url, base);
    const prompt = await promptOf(call, settings);
    await call("run", "resident", prompt, settings.tokens);
    const results = [];
    const pinned = { ...settings, rounds: Math.max(5, settings.rounds) };
    if (settings.model === "tales") {
      const options = { ...base, allResident: true };
      const lookup = await paired(call, pinned, prompt, { url: first.url, options });
      results.push({ link: first.name, share: 1, mode: "no look-up at all", ...lookup });
      say(results.at(-1));
    }
    for (const { name: link, url } of servers.sources) {
      for (const share of settings.budgets) {
        if (share === 1 && link !== first.name) continue; // no byte moves
        for (const [mode, own] of Object.entries(share === 1 ? { "all resident": BARE } : MODES)) {
          const options = { ...base, ...own, gpuBudgetBytes: budgetFor(plan, share) };
          results.push({ link, share, mode, ...(await paired(call, settings, prompt, { url, options })) });
          say(results.at(-1));
        }
      }
    }
    await call("close", "resident");
    const quarter = { ...base, gpuBudgetBytes: budgetFor(plan, 0.25) };
    const cold = await coldCurve(call, settings, prompt, first, quarter);
    return { adapter, browser: browser.version(), model: settings.model, prompt, plan, results, cold };
  } finally {
    await browser.close();
    await servers.close();
  }
}

/** @param {Call} call @param {Settings} settings */
async function promptOf(call, { model, prompt }) {
  if (model === "l12") return Array.from({ length: prompt }, (_, i) => 1000 + 37 * i);
  return (await call("encode", "resident", TEXT)).slice(0, prompt);
}

/** @param {(Awaited<ReturnType<typeof paired>> & { link: string, share: number, mode: string }) | undefined} row */
function say(row) {
  if (!row) return;
  const columns = [
    row.link.padEnd(8),
    `${Math.round(row.share * 100)} % (${row.slots})`.padEnd(11),
    row.mode.padEnd(24),
    row.ratio.toFixed(3).padStart(7),
    row.perSecond.toFixed(2).padStart(7),
    row.rounds.toFixed(2).padStart(7),
    `${Math.round(row.clean * 100)} %`.padStart(6),
    row.loads.toFixed(1).padStart(7),
    mib(row.linkBytes).padStart(11),
    row.stallMs.toFixed(1).padStart(8),
    `${row.useful.toFixed(1)}/${row.wasted.toFixed(1)}`.padStart(10),
  ];
  console.log(columns.join(" "));
}

try {
  const settings = parse(process.argv.slice(2));
  ensureDependencies();
  const { build } = await import("./build.mjs");
  build("library");
  console.log(
    "link     budget      mode                      of full   tok/s  rounds  clean   loads  link bytes stall ms  used/void  (a token)",
  );
  const figures = await run(settings);
  console.log(
    `\n${figures.model} on ${figures.adapter}, Chromium ${figures.browser}, ${settings.tokens} tokens x ${settings.rounds}`,
  );
  const curve = figures.cold.map(({ at, share }) => `${at}: ${(share * 100).toFixed(1)} %`);
  console.log(`share of the file fetched from cold at 25 %, prompt of ${figures.prompt.length}: ${curve.join(", ")}`);
  if (settings.json) writeFileSync(settings.json, `${JSON.stringify(figures, null, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
