// `npm run bench`: measures the default model in a real Chromium through demo/bench.html, watches the JavaScript heaps
// meanwhile, and prints one table. `--json FILE` keeps the figures; `--quick` measures less.
import { writeFileSync } from "node:fs";
import { build } from "./build.mjs";
import { CHROMIUM_ARGS, ensureChromium, findChromium } from "./chromium.mjs";
import { ensureDependencies, ROOT } from "./install.mjs";

const HEAP_EVERY_MS = 50;
const LIMIT_MS = 20 * 60 * 1000;

/**
 * Peak bytes of JavaScript heap and array buffers of the page and of the largest worker, sampled through the debugger.
 * With `live`, garbage is collected before every sample: what is left is what the code really holds.
 * @param {import("playwright").Page} page
 * @param {boolean} live
 */
async function watchHeaps(page, live) {
  const session = await page.context().newCDPSession(page);
  /** @type {Map<string, { heap: number, buffers: number }>} */
  const peaks = new Map();
  /** @type {Set<string>} */
  const workers = new Set();
  let nextId = 1;
  const note = (/** @type {string} */ who, /** @type {Record<string, number>} */ usage) => {
    const peak = peaks.get(who) ?? { heap: 0, buffers: 0 };
    peak.heap = Math.max(peak.heap, usage.usedSize ?? 0);
    peak.buffers = Math.max(peak.buffers, usage.backingStorageSize ?? 0);
    peaks.set(who, peak);
  };
  session.on("Target.attachedToTarget", ({ sessionId }) => workers.add(sessionId));
  session.on("Target.detachedFromTarget", ({ sessionId }) => workers.delete(sessionId));
  session.on("Target.receivedMessageFromTarget", ({ sessionId, message }) => {
    const { result } = JSON.parse(message);
    if (result?.usedSize !== undefined) note(sessionId, result);
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const methods = live ? ["HeapProfiler.collectGarbage", "Runtime.getHeapUsage"] : ["Runtime.getHeapUsage"];
  const timer = setInterval(() => {
    session.send("Runtime.getHeapUsage").then(
      (usage) => note("page", { ...usage }),
      () => {},
    );
    for (const sessionId of workers) {
      for (const method of methods) {
        const message = JSON.stringify({ id: nextId++, method });
        session.send("Target.sendMessageToTarget", { sessionId, message }).catch(() => {});
      }
    }
  }, HEAP_EVERY_MS);
  return () => {
    clearInterval(timer);
    const page = peaks.get("page") ?? { heap: 0, buffers: 0 };
    const others = [...peaks].filter(([who]) => who !== "page").map(([, peak]) => peak);
    const most = (/** @type {"heap" | "buffers"} */ what) => Math.max(0, ...others.map((peak) => peak[what]));
    return { page, worker: { heap: most("heap"), buffers: most("buffers") } };
  };
}

async function serve() {
  const { preview } = await import("vite"); // late: ensureDependencies may only just have installed it
  return preview({
    root: `${ROOT}/demo`,
    configFile: `${ROOT}/vite.config.ts`,
    mode: "demo",
    preview: { port: 4373, strictPort: false, open: false },
  });
}

/**
 * One visit of the bench page in a browser of its own.
 * @param {string} address
 * @param {boolean} live
 */
async function measure(address, live) {
  const { chromium } = await import("playwright");
  const executablePath = findChromium();
  const browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: CHROMIUM_ARGS });
  try {
    const page = await browser.newPage({ bypassCSP: true }); // the driver reads the result by evaluation
    page.on("console", (message) => console.error(message.text()));
    const heaps = await watchHeaps(page, live);
    await page.goto(address);
    await page.waitForFunction("globalThis.octavoBench || globalThis.octavoBenchError", null, { timeout: LIMIT_MS });
    const error = await page.evaluate("globalThis.octavoBenchError");
    if (error) throw new Error(String(error));
    /** @type {import("../demo/bench/bench-measure.ts").BenchFigures} */
    const figures = await page.evaluate("globalThis.octavoBench");
    return { ...figures, browser: browser.version(), heapPeak: heaps() };
  } finally {
    await browser.close();
  }
}

/** @param {boolean} quick */
async function run(quick) {
  const server = await serve();
  const page = `${server.resolvedUrls?.local[0]}bench.html`;
  try {
    const timed = await measure(`${page}?${quick ? "rounds=1&decode=8&prompt=32" : ""}`, false);
    // Collecting garbage takes time, so what is really held is watched in a visit of its own.
    const held = await measure(`${page}?residencies=0.25&rounds=1&decode=16&prompt=64`, true);
    return { ...timed, heapHeldPeak: held.heapPeak };
  } finally {
    await server.close();
  }
}

const mib = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** @param {Awaited<ReturnType<typeof run>>} figures */
function print(figures) {
  console.log(`\n${figures.model} on ${figures.adapter}, Chromium ${figures.browser}`);
  console.log(`load                ${(figures.loadMs ?? 0).toFixed(0)} ms`);
  console.log(
    `first token         ${figures.warmFirstTokenMs.toFixed(0)} ms, cold ${(figures.coldFirstTokenMs ?? 0).toFixed(0)} ms`,
  );
  console.log(`prefill             ${figures.prefillPerSecond.toFixed(1)} tok/s over ${figures.prefillTokens} tokens`);
  const rows = figures.residencies.map((at) => ({
    resident: `${Math.round(at.residency * 100)} % (${at.slotsPerLayer} slots)`,
    "tok/s": at.decodePerSecond.toFixed(2),
    "of full": at.ratio.toFixed(2),
    "rounds/token": at.roundsPerToken.toFixed(2),
    "clean steps": `${(at.cleanShare * 100).toFixed(0)} %`,
    "hit rate": `${(at.hitRate * 100).toFixed(0)} %`,
    "fetched/token": mib(at.fetchedBytesPerToken),
    "submissions, read-backs, dispatches/token": `${at.submissionsPerToken.toFixed(2)}, ${at.readbacksPerToken.toFixed(2)}, ${at.dispatchesPerToken.toFixed(1)}`,
    "weight bytes/token (least)": `${mib(at.weightBytesPerToken)} (${mib(at.leastWeightBytesPerToken)})`,
    "GPU peak (budget)": `${mib(at.gpuBytesPeak)} (${mib(at.budgetBytes)})`,
  }));
  for (const row of rows) {
    console.log(`\ndecode, ${row.resident}`);
    for (const [name, value] of Object.entries(row).slice(1)) console.log(`  ${name.padEnd(42)} ${value}`);
  }
  for (const at of figures.residencies) {
    const owners = Object.entries(at.gpuBytes).map(([owner, bytes]) => `${owner} ${mib(bytes)}`);
    console.log(`GPU bytes at ${Math.round(at.residency * 100)} %: ${owners.join(", ")}`);
  }
  heap("heap peak, garbage included", figures.heapPeak);
  heap("heap peak of what is held, one model at 25 %", figures.heapHeldPeak);
}

/**
 * @param {string} name
 * @param {Awaited<ReturnType<typeof measure>>["heapPeak"]} peak
 */
function heap(name, { page, worker }) {
  const both = (/** @type {{ heap: number, buffers: number }} */ { heap, buffers }) =>
    `${mib(heap)} + buffers ${mib(buffers)}`;
  console.log(`${name}: page ${both(page)}; worker ${both(worker)}`);
}

try {
  const args = process.argv.slice(2);
  ensureDependencies();
  ensureChromium();
  build("demo");
  const figures = await run(args.includes("--quick"));
  print(figures);
  const json = args.indexOf("--json");
  if (json >= 0) writeFileSync(args[json + 1] ?? "bench.json", `${JSON.stringify(figures, null, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
