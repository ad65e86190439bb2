/**
 * The measurements behind the Bench tab, the bench page and `npm run bench`: a model at several residencies, taken in turns,
 * so that a ratio is not at the mercy of a noisy machine. It draws nothing. Either every residency has a model of its own,
 * or one open model changes its budget from turn to turn, which needs a run of warming up each time.
 */
import { loadModel, type MemoryPlan, type Model, type Session, type Stats } from "../../src/index.ts";
import { budgetFor, type Counts, median, type Run, runOnce } from "./run.ts";

/** What is measured is paging from the server: no tier in between, and no model that finds another's cache in use. */
const AT_THE_SOURCE = { cache: false, ramBudgetBytes: 0 };

export interface BenchSettings {
  /** Shares of expert bytes to hold, the first one is what ratios refer to. */
  readonly residencies: readonly number[];
  /** Tokens of the prompt, of one measured decode run, and how many runs there are. */
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly rounds: number;
}

/** Who hears of the progress, and may end it. */
export interface BenchHooks {
  readonly say: (text: string) => void;
  readonly signal?: AbortSignal;
}

export interface ResidencyFigures {
  readonly residency: number;
  /** How it ran on behind a miss, where that is what is compared. */
  readonly way?: string;
  readonly slotsPerLayer: number;
  readonly budgetBytes: number;
  /** Tokens per second: median over the rounds, and each round. */
  readonly decodePerSecond: number;
  readonly decodeRuns: readonly number[];
  /** Median over the rounds of this residency's speed over the first residency's in the same round. */
  readonly ratio: number;
  readonly roundsPerToken: number;
  readonly cleanShare: number;
  readonly hitRate: number;
  readonly fetchedBytesPerToken: number;
  /** Bytes that came from network, files or memory for a token, and the time that it waited for experts. */
  readonly sourceBytesPerToken: number;
  readonly stallMsPerToken: number;
  readonly submissionsPerToken: number;
  readonly readbacksPerToken: number;
  readonly dispatchesPerToken: number;
  /** Stored weight bytes that the dispatches of a token read, and the least possible: each needed weight once. */
  readonly weightBytesPerToken: number;
  readonly leastWeightBytesPerToken: number;
  readonly gpuBytes: Readonly<Record<string, number>>;
  readonly gpuBytesPeak: number;
}

export interface BenchFigures {
  readonly adapter: string;
  readonly features: readonly string[];
  readonly userAgent: string;
  readonly model: string;
  /** `null` for a model that was open already. */
  readonly loadMs: number | null;
  /** Cold: nothing compiled, no expert fetched. From the start of the first prefill to the first id. */
  readonly coldFirstTokenMs: number | null;
  readonly warmFirstTokenMs: number;
  readonly prefillTokens: number;
  readonly prefillPerSecond: number;
  readonly decodeTokens: number;
  readonly residencies: readonly ResidencyFigures[];
}

const TEXT =
  "Once upon a time there was a little girl who lived in a small house at the edge of the forest with her old " +
  "grandmother and a grey cat. Every morning she went to the well, and every evening she sat by the fire and listened " +
  "to the stories of the wind. ";

/** One residency: the model at it, and what its runs gave. */
interface Runner {
  readonly residency: number;
  readonly model: Model;
  readonly session: Session;
  readonly runs: Run[];
  /** Gives the model this residency, where it may have another. */
  readonly enter: () => Promise<void>;
  /** What the ledger and the plan said at the last run. */
  seen: { readonly plan: MemoryPlan; readonly stats: Stats };
}

interface Cold {
  readonly loadMs: number | null;
  readonly coldFirstTokenMs: number | null;
}

/** Measures the model at `source`, loaded once for every residency. @throws what loading throws; `AbortError`. */
export async function measure(source: string, settings: BenchSettings, hooks: BenchHooks): Promise<BenchFigures> {
  const runners: Runner[] = [];
  try {
    let cold: Cold = { loadMs: null, coldFirstTokenMs: null };
    let prompt: number[] = [];
    hooks.say("Reading what the model needs…");
    const needs = await memoryNeeds(source);
    for (const residency of settings.residencies) {
      hooks.signal?.throwIfAborted();
      hooks.say(`Loading at ${percent(residency)}…`);
      const start = performance.now();
      const model = await loadModel(source, { ...AT_THE_SOURCE, gpuBudgetBytes: budgetFor(needs, residency) });
      const loadMs = performance.now() - start;
      prompt = await promptOf(model, settings.promptTokens);
      const session = await model.createSession();
      const seen = { plan: await model.memory(), stats: await model.stats() };
      const runner: Runner = { residency, model, session, runs: [], enter: async () => {}, seen };
      runners.push(runner);
      const { firstTokenMs } = await warmUp(runner, prompt, settings, hooks);
      if (runners.length === 1) cold = { loadMs, coldFirstTokenMs: firstTokenMs };
    }
    return await takeTurns(runners, prompt, settings, hooks, cold);
  } finally {
    for (const { model } of runners) await model.dispose();
  }
}

/** Measures an open model, and leaves it with the budget that it had. @throws `AbortError`, and what a step throws. */
export async function measureOpen(model: Model, settings: BenchSettings, hooks: BenchHooks): Promise<BenchFigures> {
  const { budgetBytes } = await model.memory();
  const session = await model.createSession({ contextLength: settings.promptTokens + settings.decodeTokens + 8 });
  try {
    const needs = await model.memory(); // with this session
    const prompt = await promptOf(model, settings.promptTokens);
    const seen = { plan: needs, stats: await model.stats() };
    const runners = settings.residencies.map((residency): Runner => {
      const enter = async () => void (await model.setBudget(budgetFor(needs, residency)));
      return { residency, model, session, runs: [], enter, seen };
    });
    return await takeTurns(runners, prompt, settings, hooks, { loadMs: null, coldFirstTokenMs: null });
  } finally {
    await session.dispose();
    await model.setBudget(budgetBytes);
  }
}

async function takeTurns(
  runners: readonly Runner[],
  prompt: readonly number[],
  settings: BenchSettings,
  hooks: BenchHooks,
  cold: Cold,
): Promise<BenchFigures> {
  const [base] = runners;
  if (!base) throw new RangeError("no residency to measure");
  const shared = runners.some(({ model }, i) => i > 0 && model === base.model);
  for (let round = 0; round < settings.rounds; round++) {
    for (const runner of runners) {
      hooks.signal?.throwIfAborted();
      hooks.say(`Round ${round + 1} of ${settings.rounds}, ${percent(runner.residency)} resident…`);
      await runner.enter();
      if (shared) await warmUp(runner, prompt, settings, hooks);
      runner.runs.push(await runOnce(runner, prompt, settings.decodeTokens, hooks.signal));
      runner.seen = { plan: await runner.model.memory(), stats: await runner.model.stats() };
    }
  }
  return {
    adapter: base.model.adapter.name,
    features: base.model.adapter.features,
    userAgent: navigator.userAgent,
    model: base.model.spec.name,
    ...cold,
    warmFirstTokenMs: median(base.runs.map(({ firstTokenMs }) => firstTokenMs)),
    prefillTokens: prompt.length,
    prefillPerSecond: median(base.runs.map(({ prefill }) => (1000 * prompt.length) / (prefill.prefillMs ?? 0))),
    decodeTokens: settings.decodeTokens,
    residencies: runners.map((runner) => figures(runner, base)),
  };
}

/** A run that is not counted: it compiles, learns, and brings in what this text wants. */
function warmUp(runner: Runner, prompt: readonly number[], settings: BenchSettings, hooks: BenchHooks): Promise<Run> {
  return runOnce(runner, prompt, settings.decodeTokens, hooks.signal);
}

function figures({ residency, model, runs, seen }: Runner, base: Runner): ResidencyFigures {
  const sum = (name: string) => runs.reduce((all, { decode }) => all + (decode[name] ?? 0), 0);
  const tokens = sum("decodeTokens");
  const per = (...names: string[]) => names.reduce((all, name) => all + sum(name), 0) / tokens;
  const speeds = runs.map(speedOf);
  const { plan, stats } = seen;
  return {
    residency,
    slotsPerLayer: plan.slotsPerLayer,
    budgetBytes: plan.budgetBytes,
    decodePerSecond: median(speeds),
    decodeRuns: speeds,
    ratio: median(runs.flatMap((run, i) => (base.runs[i] ? [speedOf(run) / speedOf(base.runs[i])] : []))),
    roundsPerToken: per("decodeRounds"),
    cleanShare: per("cleanSteps"),
    hitRate: sum("expertHits") / (sum("expertHits") + sum("expertMisses")),
    fetchedBytesPerToken: per("expertBytesFetched"),
    sourceBytesPerToken: per("networkBytes", "fileBytes", "memoryBytes"),
    stallMsPerToken: per("stallMs"),
    submissionsPerToken: per("decodeSubmissions"),
    readbacksPerToken: per("decodeReadbacks"),
    dispatchesPerToken: per("decodeDispatches"),
    weightBytesPerToken: per("decodeWeightBytesRead"),
    leastWeightBytesPerToken: leastBytes(model, plan.denseBytes, plan.expertBytes),
    gpuBytes: stats.gpuBytes,
    gpuBytesPeak: stats.gpuBytesPeak,
  };
}

function speedOf({ taken, decode }: { readonly taken: number; readonly decode: Counts }): number {
  return (1000 * taken) / (decode.decodeMs ?? 0);
}

/** Dense weights once and the chosen experts once; a tied embedding is counted once, as the output head reads it. */
function leastBytes({ spec }: Model, denseBytes: number, expertBytes: number): number {
  const moe = spec.layers.flatMap(({ mlp }) => (mlp?.kind === "moe" ? [mlp] : []));
  const experts = moe.reduce((sum, { numExperts }) => sum + numExperts, 0);
  const chosen = moe.reduce((sum, { topK }) => sum + topK, 0);
  return denseBytes + (experts > 0 ? (expertBytes / experts) * chosen : 0);
}

/** Loads and leaves the model once: what it needs is not known before. */
async function memoryNeeds(source: string): Promise<MemoryPlan> {
  const model = await loadModel(source, AT_THE_SOURCE);
  const plan = await model.memory();
  await model.dispose();
  return plan;
}

/** The first tokens of a text; for a model without a tokenizer, ids from all over its vocabulary. */
async function promptOf(model: Model, length: number): Promise<number[]> {
  let ids: number[] = [];
  try {
    for (let text = TEXT; ids.length < length; text += TEXT) ids = await model.encode(text);
  } catch (error) {
    if (!(error instanceof Error && error.name === "UnsupportedError")) throw error;
    ids = Array.from({ length }, (_, i) => (1000 + 37 * i) % model.spec.vocabSize);
  }
  return ids.slice(0, length);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
