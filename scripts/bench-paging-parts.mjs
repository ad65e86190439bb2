// What scripts/bench-paging.mjs measures, part by part, by way of the page scripts/bench-paging.html.

/**
 * @typedef {{ model: "tales" | "l12", budgets: number[], modes: string[], tokens: number, rounds: number, costRounds: number,
 *   coldTokens: number }} Settings
 * @typedef {{ taken: number } & Record<string, number>} Run
 * @typedef {(name: string, ...args: unknown[]) => Promise<any>} Call
 */

/** No tier between link and slots, so that the link is what is measured. */
const BARE = { cache: false, ramBudgetBytes: 0 };
/**
 * `ends`: how many ends of tokens a step runs on to behind a miss, its own and the next one's.
 * @type {Record<string, Record<string, unknown> & { ends?: number }>}
 */
export const MODES = {
  "stop at first miss": { ...BARE, ends: 0, extraGuesses: 0 },
  "next layer predicted": { ...BARE, ends: 0, extraGuesses: 0, prefetch: "next-layer" },
  "run ahead": { ...BARE, ends: 1, extraGuesses: 0 },
  "run ahead, 4 guesses": { ...BARE, ends: 1, extraGuesses: 4 },
  "run ahead, 8 guesses": { ...BARE, ends: 1, extraGuesses: 8 },
  "into the next token": { ...BARE, ends: 2, extraGuesses: 0 },
  "into the next, 4 guesses": { ...BARE, ends: 2, extraGuesses: 4 },
  "chosen by measurement": BARE,
  "chosen, with a RAM tier": { cache: false },
  "RAM tier and history": { cache: false, prefetch: "history" },
};

/** Tokens generated at which the cold start is looked at, and those between two runs of a cost. */
const COLD_AT = { tales: [1, 2, 5, 10, 25, 50, 100], l12: [1, 2, 4, 8, 16, 32, 64, 100] };

/** Predicting the next layer takes a little beside what the plan knows: no mode is to have a slot less for it. */
const PREDICTION_BYTES = 4096;

/** Budget that leaves slots for `share` of the experts, or for as many as one token takes. */
export const budgetFor = (/** @type {Record<string, number>} */ plan, /** @type {number} */ share) =>
  PREDICTION_BYTES +
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
export async function coldCurve(call, { model, coldTokens }, prompt, { server, url, bytes }, options) {
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
export async function costs(call, { tokens, costRounds }, url, base, prompt) {
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

/**
 * @param {Call} call
 * @param {Settings} settings
 * @param {{ name: string, url: string }[]} sources
 * @param {Record<string, unknown>} base
 * @param {Record<string, number>} plan
 * @param {number[]} prompt
 */
export async function rows(call, settings, sources, base, plan, prompt) {
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
        const { ends, ...settled } = own;
        const reach = ends === undefined ? {} : { runAhead: ends * (plan.numMoeLayers ?? 0) };
        const options = { ...base, ...settled, ...reach, gpuBudgetBytes: budgetFor(plan, share) };
        results.push({ link, share, mode, ...(await paired(call, settings, prompt, { url, options })) });
        say(results.at(-1));
      }
    }
  }
  return results;
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
