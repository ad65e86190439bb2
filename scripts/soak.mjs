// `npm run soak -- [--chats 50] [--tokens 40] [--json FILE]`: a long sitting in a real Chromium. Chat after chat on the
// built-in model under a budget, with answers called off, messages edited, branches, further turns, reloads of the page and
// changes of the model; afterwards the buffer ledger and the JavaScript heaps must stand where they stood. Ends with 1 if not.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { openBarePage } from "./bare-page.mjs";
import { growth, readHeaps } from "./heaps.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const MODEL = "demo/public/models/octavo-tales/octavo-tales-q8_0.gguf";
/** Two ways to load it, which take turns: other slots, policy and link. */
const LOADS = [
  { gpuBudgetBytes: 12_000_000, contextLength: 384 },
  { gpuBudgetBytes: 16_000_000, contextLength: 384, policy: "lru", ramBudgetBytes: 4_000_000 },
];
const CHATS_A_LOAD = 8;
/** Far longer than an answer takes on the slowest adapter. */
const HANGS_MS = 180_000;
const BETWEEN_READINGS_MS = 1500;
const MOST_READINGS = 6;
/** Every so many loads the whole page is loaded again, with the model in the middle of an answer. */
const LOADS_A_RELOAD = 3;
const BEGINNINGS = [
  "Once upon a time there was a little girl who",
  "The old sailor looked at the sea and",
  "In a small house at the edge of the forest",
  "The king had three sons, and the youngest",
];
const mib = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

/** @param {string[]} args */
function parse(args) {
  const value = (/** @type {string} */ name) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? undefined : args[at + 1];
  };
  return { chats: Number(value("chats") ?? 50), tokens: Number(value("tokens") ?? 40), json: value("json") };
}

async function serve() {
  const { runnerImport } = await import("vite"); // late: ensureDependencies may only just have installed it
  /** @type {{ module: typeof import("../test/virtual/serve.ts") }} */
  const { module } = await runnerImport(`${ROOT}/test/virtual/serve.ts`, { root: ROOT, logLevel: "error" });
  const file = (/** @type {string} */ path) => readFileSync(`${ROOT}/${path}`);
  const built = readdirSync(`${ROOT}/dist`).filter((name) => name.endsWith(".js"));
  return module.serveFiles({
    "page.html": file("scripts/soak.html"),
    "tales.gguf": file(MODEL),
    ...Object.fromEntries(built.map((name) => [`octavo/${name}`, file(`dist/${name}`)])),
  });
}

/**
 * `task`, unless it takes so long that it must be taken for one that hangs.
 * @template T
 * @param {string} what @param {Promise<T>} task @returns {Promise<T>}
 */
async function inTime(what, task) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer in ${HANGS_MS / 1000} s`)), HANGS_MS);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @typedef {(name: string, ...args: unknown[]) => Promise<any>} Call
 * @typedef {{ role: "user" | "assistant", content: string }} Message
 */

/**
 * One chat: an answer, and then what people do with answers, by turns.
 * @param {Call} call @param {number} number @param {number} tokens
 */
async function chat(call, number, tokens) {
  const user = (/** @type {string} */ content) => /** @type {Message} */ ({ role: "user", content });
  const first = user(BEGINNINGS[number % BEGINNINGS.length] ?? "");
  const settings = { max_tokens: tokens, temperature: 0.9, seed: number };
  const kind =
    /** @type {const} */ (["plain", "called off", "edited", "branched", "further turn"])[number % 5] ?? "plain";
  const stopAfter = kind === "called off" ? tokens / 4 : undefined;
  const answers = [await call("answer", [first], { ...settings, ...(stopAfter ? { stopAfter } : {}) })];
  const [{ text }] = answers;
  if (kind === "called off") answers.push(await call("answer", [first], settings));
  if (kind === "edited") answers.push(await call("answer", [user(`${first.content} old`)], settings));
  if (kind === "branched") answers.push(await call("answer", [first], { ...settings, seed: number + 1000 }));
  if (kind === "further turn") {
    answers.push(await call("answer", [first, { role: "assistant", content: text }, user(" And then")], settings));
  }
  return { kind, answers };
}

/**
 * A page that was loaded again has the heap of the one before in it until the browser has put that away: reads until it
 * stands still.
 * @param {import("./bare-page.mjs").BarePage} bare
 */
async function settledHeap(bare) {
  const read = async () => {
    const { page, workers } = await readHeaps(bare);
    return page.heap + workers.heap;
  };
  let bytes = await read();
  for (let i = 0; i < MOST_READINGS; i++) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_READINGS_MS));
    const now = await read();
    if (now > 0.99 * bytes) break;
    bytes = now;
  }
  return bytes;
}

/** @param {ReturnType<typeof parse>} options */
async function run(options) {
  const server = await serve();
  try {
    return await sit(options, server.url);
  } finally {
    await server.close();
  }
}

/** @param {ReturnType<typeof parse>} options @param {string} folder where page and model are served */
async function sit({ chats, tokens }, folder) {
  const address = `${folder}page.html`;
  const page = await openBarePage(address);
  try {
    /** @type {Call} */
    const call = (name, ...args) => inTime(name, page.evaluate(`soak.${name}(...${JSON.stringify(args)})`));
    const samples = [];
    /** The most after any chat of a load: some kernels' constants are made when they are first wanted. */
    const ledgers = LOADS.map(() => /** @type {number[]} */ ([]));
    const done = { chats: 0, tokens: 0, cached: 0, stopped: 0, loads: 0, reloads: 0 };
    while (done.chats < chats) {
      const way = done.loads % LOADS.length;
      await call("open", `${folder}tales.gguf`, LOADS[way]);
      done.loads += 1;
      let most = 0;
      let here = 0;
      for (let i = 0; i < CHATS_A_LOAD && done.chats < chats; i++) {
        const { kind, answers } = await chat(call, done.chats++, tokens);
        for (const answer of answers) {
          done.tokens += answer.tokens;
          done.cached += answer.cached;
          done.stopped += Number(answer.stopped);
        }
        const { gpuBytesTotal, warnings } = await call("state");
        if (warnings > 0) throw new Error(`${warnings} warnings: the device was lost, or refused memory`);
        most = Math.max(most, gpuBytesTotal);
        here += 1;
        console.log(`chat ${done.chats}, ${kind}: ${done.tokens} tokens so far, ledger ${mib(gpuBytesTotal)}`);
      }
      if (here === CHATS_A_LOAD) ledgers[way]?.push(most);
      if (done.loads % LOADS_A_RELOAD === 0) {
        void call("answer", [{ role: "user", content: "The" }], { max_tokens: tokens }).catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 500));
        await page.goto(address);
        done.reloads += 1;
      } else {
        const left = await call("close");
        if (Object.keys(left).length > 0) throw new Error(`the ledger still holds ${JSON.stringify(left)}`);
      }
      const bytes = await inTime("reading the heaps", settledHeap(page));
      samples.push({ token: done.tokens, bytes });
      console.log(`no model open: heap ${mib(bytes)}`);
    }
    return { ...done, ledgers, samples };
  } finally {
    await page.close();
  }
}

/** @param {Awaited<ReturnType<typeof run>>} figures @returns whether everything stands where it stood */
function judge({ ledgers, samples, ...done }) {
  const spread = ledgers.map((bytes) => [Math.min(...bytes), Math.max(...bytes)]);
  const { first, last, perToken, flat } = growth(samples);
  console.log(
    Object.entries(done)
      .map(([what, count]) => `${count} ${what}`)
      .join(", "),
  );
  for (const [least = 0, most = 0] of spread.filter(([least = 0]) => Number.isFinite(least)))
    console.log(`ledger's most in a load: ${least} to ${most} bytes`);
  console.log(
    `heap without a model: ${mib(first)} to ${mib(last)}, ${perToken.toFixed(1)} bytes a token: ${flat ? "flat" : "growing"}`,
  );
  return flat && ledgers.every((bytes) => new Set(bytes).size <= 1);
}

try {
  ensureDependencies();
  const { build } = await import("./build.mjs");
  build("library");
  const options = parse(process.argv.slice(2));
  const figures = await run(options);
  if (options.json) writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  if (!judge(figures)) process.exitCode = 1;
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error);
  process.exitCode = 1;
}
