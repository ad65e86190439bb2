// `npm run bench:paging -- [--model tales|l12] [--parts rows,cost,cold] [--links memory,disk,latency,network,latency-http1,...]
// [--budgets 1,0.5,0.25,0.12] [--modes NAME,...] [--tokens N] [--rounds N] [--quick] [--json FILE]`: what paging keeps and
// costs, in a real Chromium. Every part and row can be run by itself.
// rows: how much of its resident speed a model keeps when its experts come through a link, with run-ahead on and off side by
//   side; every run is paired with one of the fully resident model in the same page.
// cost: what the pager costs when every expert is there: against a model whose look-up is compiled out, and what queueing the
//   next step brings; runs in turns, median and quartiles of the paired ratios.
// cold: bytes through the link from a cold start, by tokens generated.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { CHROMIUM_ARGS, ensureChromium } from "./chromium.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const TEXT =
  "Once upon a time there was a little girl who lived in a small house at the edge of the forest with her old " +
  "grandmother and a grey cat. Every morning she went to the well";

const DISK = { latencyMs: 1, bytesPerSecond: 2e9 };
const LATENCY = { latencyMs: 30, bytesPerSecond: Number.POSITIVE_INFINITY };
const NETWORK = { latencyMs: 30, bytesPerSecond: 12e6 };
/**
 * Links that bytes come through: latency of a request, bandwidth of all together. `memory` waits for nothing. Browsers send a
 * host six HTTP/1.1 requests at a time; content networks speak HTTP/2.
 * @type {Record<string, { link?: import("../test/virtual/link.ts").LinkModel, http2: boolean }>}
 */
const LINKS = {
  memory: { http2: false },
  disk: { link: DISK, http2: false },
  latency: { link: LATENCY, http2: true },
  network: { link: NETWORK, http2: true },
  "latency-http1": { link: LATENCY, http2: false },
  "network-http1": { link: NETWORK, http2: false },
};
/** The HTTP/2 server makes its certificate itself. */
const IGNORE_CERTIFICATES = "--ignore-certificate-errors";

/** No tier between link and slots, so that the link is what is measured. */
const BARE = { cache: false, ramBudgetBytes: 0 };
/** @type {Record<string, Record<string, unknown>>} */
const MODES = {
  "stop at first miss": { ...BARE, runAhead: 0, extraGuesses: 0 },
  "next layer predicted": { ...BARE, runAhead: 0, extraGuesses: 0, prefetch: "next-layer" },
  "run ahead": { ...BARE, runAhead: 1000, extraGuesses: 0 },
  "run ahead, 4 guesses": { ...BARE, runAhead: 1000, extraGuesses: 4 },
  "chosen by measurement": BARE,
  "chosen, with a RAM tier": { cache: false },
  "RAM tier and history": { cache: false, prefetch: "history" },
};

const PARTS = ["rows", "cost", "cold"];
const MODELS = {
  tales: { budgets: [1, 0.5, 0.25, 0.12], links: Object.keys(LINKS), tokens: 32, rounds: 3, prompt: 20, context: 256 },
  l12: { budgets: [1, 0.25, 0.12], links: ["disk", "network"], tokens: 4, rounds: 1, prompt: 5, context: 64 },
};
/** Tokens generated at which the cold start is looked at, and those between two runs of a cost. */
const COLD_AT = { tales: [1, 2, 5, 10, 25, 50, 100], l12: [1, 2, 4, 8, 16, 32, 64, 100] };
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
      const { link, http2 } = LINKS[name] ?? { http2: false };
      if (model === "l12") {
        const checkpoint = ladderCheckpoint({ container: "gguf", rung: "L12", type: "Q4_0", vocabulary: false });
        const server = await serveVirtual(checkpoint, { link, http2 });
        return { name, server, url: server.modelUrl, bytes: server.modelBytes };
      }
      const bytes = file(tales);
      const server = await serveFiles({ "tales.gguf": bytes }, { http2, ...(link ? { link: new Link(link) } : {}) });
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
    requests: per("fetchRequests"),
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
 * Bytes through the link from a cold start, by tokens generated; the tiers are on, so nothing is read twice.
 * @param {Call} call
 * @param {Settings} settings
 * @param {number[]} prompt
 * @param {{ server: { sentBytes: number }, url: string, bytes: number }} source
 * @param {Record<string, unknown>} options
 */
async function coldCurve(call, { model, coldTokens }, prompt, { server, url, bytes }, options) {
  const before = server.sentBytes;
  /** @type {{ at: string, share: number }[]} */
  const curve = [];
  const note = (/** @type {string} */ at) => {
    curve.push({ at, share: (server.sentBytes - before) / bytes });
    console.log(`cold, ${at}: ${(100 * (curve.at(-1)?.share ?? 0)).toFixed(1)} % of the file`);
  };
  await call("open", "cold", url, options);
  note("loaded");
  await call("prefill", "cold", prompt);
  let done = 0;
  for (const step of COLD_AT[model].filter((at) => at <= coldTokens)) {
    await call("more", "cold", step - done);
    done = step;
    note(`token ${step}`);
  }
  await call("close", "cold");
  return curve;
}

/**
 * What `b` takes of `a`'s time a token, runs in turns, each pair in the other order than the one before.
 * @param {() => Promise<Run>} a
 * @param {() => Promise<Run>} b
 * @param {number} rounds
 */
async function inTurns(a, b, rounds) {
  const ms = async (/** @type {() => Promise<Run>} */ run) => {
    const { decodeMs = 0, taken } = await run();
    return decodeMs / taken;
  };
  await ms(a);
  await ms(b);
  /** @type {number[]} */
  const ratios = [];
  for (let round = 0; round < rounds; round++) {
    const first = await ms(round % 2 ? b : a);
    const second = await ms(round % 2 ? a : b);
    ratios.push(round % 2 ? first / second : second / first);
  }
  const sorted = [...ratios].sort((x, y) => x - y);
  const at = (/** @type {number} */ share) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  return { median: median(ratios), quartiles: [at(0.25), at(0.75)], ratios };
}

/**
 * @param {Call} call
 * @param {Settings} settings
 * @param {string} url
 * @param {Record<string, unknown>} base
 * @param {number[]} prompt
 */
async function costs(call, { tokens, costRounds }, url, base, prompt) {
  await call("open", "no look-up", url, { ...base, allResident: true });
  const run = (/** @type {string} */ model, /** @type {string} */ how) => () => call(how, model, prompt, tokens);
  const found = {
    "look-up against none": await inTurns(run("no look-up", "run"), run("resident", "run"), costRounds),
    "no step queued ahead against queued": await inTurns(
      run("resident", "run"),
      run("resident", "runOneByOne"),
      costRounds,
    ),
  };
  await call("close", "no look-up");
  for (const [name, { median: middle, quartiles }] of Object.entries(found)) {
    const [low = 0, high = 0] = quartiles;
    console.log(`${name}: ${middle.toFixed(3)} of its time a token, quartiles ${low.toFixed(3)} to ${high.toFixed(3)}`);
  }
  return found;
}

/** @param {Settings} settings */
async function run(settings) {
  const servers = await serve(settings);
  const { chromium } = await import("playwright");
  const args = [...CHROMIUM_ARGS, IGNORE_CERTIFICATES];
  const browser = await chromium.launch({ executablePath: ensureChromium(), args });
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
    const warm = settings.parts.includes("rows") || settings.parts.includes("cost");
    const prompt = await promptOf(call, settings, first.url);
    const { adapter } = await call(
      "open",
      "resident",
      first.url,
      warm ? base : { ...base, gpuBudgetBytes: plan.minBudgetBytes },
    );
    if (warm) await call("run", "resident", prompt, settings.tokens);
    const cost = settings.parts.includes("cost") ? await costs(call, settings, first.url, base, prompt) : undefined;
    const results = settings.parts.includes("rows")
      ? await rows(call, settings, servers.sources, base, plan, prompt)
      : [];
    await call("close", "resident");
    const quarter = { contextLength: settings.context, gpuBudgetBytes: budgetFor(plan, 0.25) };
    const cold = settings.parts.includes("cold") ? await coldCurve(call, settings, prompt, first, quarter) : [];
    return { adapter, browser: browser.version(), model: settings.model, prompt, plan, cost, results, cold };
  } finally {
    await browser.close();
    await servers.close();
  }
}

/**
 * @param {Call} call
 * @param {Settings} settings
 * @param {{ name: string, url: string }[]} sources
 * @param {Record<string, unknown>} base
 * @param {Record<string, number>} plan
 * @param {number[]} prompt
 */
async function rows(call, settings, sources, base, plan, prompt) {
  console.log(
    "link          budget      mode                      of full   tok/s  rounds  clean   loads  link bytes requests stall ms  used/void  (a token)",
  );
  const results = [];
  for (const [i, { name: link, url }] of sources.entries()) {
    for (const share of settings.budgets) {
      if (share === 1 && i > 0) continue; // no byte moves
      const modes = share === 1 ? { "all resident": BARE } : MODES;
      for (const [mode, own] of Object.entries(modes)) {
        if (share < 1 && !settings.modes.includes(mode)) continue;
        const options = { ...base, ...own, gpuBudgetBytes: budgetFor(plan, share) };
        results.push({ link, share, mode, ...(await paired(call, settings, prompt, { url, options })) });
        say(results.at(-1));
      }
    }
  }
  return results;
}

/** @param {Call} call @param {Settings} settings @param {string} url */
async function promptOf(call, { model, prompt }, url) {
  if (model === "l12") return Array.from({ length: prompt }, (_, i) => 1000 + 37 * i);
  return (await call("encode", url, TEXT)).slice(0, prompt);
}

/** @param {(Awaited<ReturnType<typeof paired>> & { link: string, share: number, mode: string }) | undefined} row */
function say(row) {
  if (!row) return;
  const columns = [
    row.link.padEnd(13),
    `${Math.round(row.share * 100)} % (${row.slots})`.padEnd(11),
    row.mode.padEnd(24),
    row.ratio.toFixed(3).padStart(7),
    row.perSecond.toFixed(2).padStart(7),
    row.rounds.toFixed(2).padStart(7),
    `${Math.round(row.clean * 100)} %`.padStart(6),
    row.loads.toFixed(1).padStart(7),
    mib(row.linkBytes).padStart(11),
    row.requests.toFixed(1).padStart(8),
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
  const figures = await run(settings);
  console.log(
    `\n${figures.model} on ${figures.adapter}, Chromium ${figures.browser}, ${settings.tokens} tokens x ${settings.rounds}`,
  );
  if (settings.json) writeFileSync(settings.json, `${JSON.stringify(figures, null, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
