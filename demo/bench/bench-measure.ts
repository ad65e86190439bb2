/**
 * The measurements behind the bench page and `npm run bench`: the default model at several residencies in one page, taken
 * in turns, so that a ratio is not at the mercy of a noisy machine. It draws nothing.
 */
import { loadModel, type MemoryPlan, type Model, type Session, type Stats } from "../../src/index.ts";

/** What is measured is paging from the server: no tier in between, and no model that finds another's cache in use. */
const AT_THE_SOURCE = { cache: false, ramBudgetBytes: 0 };

export interface BenchOptions {
  readonly model: string;
  /** Shares of expert bytes to hold, the first one is what ratios refer to. */
  readonly residencies: readonly number[];
  /** Tokens of the prompt, of one measured decode run, and how many runs there are. */
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly rounds: number;
}

export interface ResidencyFigures {
  readonly residency: number;
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
  readonly loadMs: number;
  /** Cold: nothing compiled, no expert fetched. From the start of the first prefill to the first id. */
  readonly coldFirstTokenMs: number;
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

interface Runner {
  readonly residency: number;
  readonly model: Model;
  readonly session: Session;
  readonly runs: number[];
  readonly before: Stats;
}

export async function measure(options: BenchOptions, say: (text: string) => void): Promise<BenchFigures> {
  const runners: Runner[] = [];
  try {
    const cold = { loadMs: 0, firstTokenMs: 0 };
    let prompt: number[] = [];
    say("Reading what the model needs…");
    const needs = await memoryNeeds(options.model);
    for (const residency of options.residencies) {
      say(`Loading at ${percent(residency)}…`);
      const start = performance.now();
      const model = await loadModel(options.model, { ...AT_THE_SOURCE, gpuBudgetBytes: budgetFor(needs, residency) });
      const loadMs = performance.now() - start;
      prompt = await promptOf(model, options.promptTokens);
      const session = await model.createSession();
      await session.prefill(prompt);
      await take(session, options.decodeTokens); // compiles, and brings in what this text wants
      if (runners.length === 0) {
        cold.loadMs = loadMs;
        cold.firstTokenMs = (await model.stats()).timeToFirstTokenMs;
      }
      runners.push({ residency, model, session, runs: [], before: await model.stats() });
    }
    const prefillRuns: number[] = [];
    const firstTokens: number[] = [];
    for (let round = 0; round < options.rounds; round++) {
      for (const runner of runners) {
        say(`Round ${round + 1} of ${options.rounds}, ${percent(runner.residency)} resident…`);
        const first = await oneRun(runner, prompt, options.decodeTokens);
        if (runner !== runners[0]) continue;
        prefillRuns.push(first.prefillPerSecond);
        firstTokens.push(first.firstTokenMs);
      }
    }
    const base = runners[0];
    if (!base) throw new RangeError("no residency to measure");
    const residencies = await Promise.all(runners.map((runner) => figures(runner, base)));
    return {
      adapter: base.model.adapter.name,
      features: base.model.adapter.features,
      userAgent: navigator.userAgent,
      model: base.model.spec.name,
      loadMs: cold.loadMs,
      coldFirstTokenMs: cold.firstTokenMs,
      warmFirstTokenMs: median(firstTokens),
      prefillTokens: prompt.length,
      prefillPerSecond: median(prefillRuns),
      decodeTokens: options.decodeTokens,
      residencies,
    };
  } finally {
    for (const { model } of runners) await model.dispose();
  }
}

/** One prefill and one decode run from an empty timeline; the same ids every time. */
async function oneRun({ model, session, runs }: Runner, prompt: readonly number[], decodeTokens: number) {
  await session.rewind(0);
  const before = await model.stats();
  await session.prefill(prompt);
  await take(session, 1);
  const between = await model.stats();
  const count = await take(session, decodeTokens);
  const after = await model.stats();
  runs.push((count / (after.decodeMs - between.decodeMs)) * 1000);
  return {
    prefillPerSecond: (prompt.length / (between.prefillMs - before.prefillMs)) * 1000,
    firstTokenMs: between.timeToFirstTokenMs,
  };
}

async function figures({ residency, model, runs, before }: Runner, base: Runner): Promise<ResidencyFigures> {
  const [plan, after] = [await model.memory(), await model.stats()];
  const tokens = after.decodeTokens - before.decodeTokens;
  const per = (name: "decodeRounds" | "cleanSteps" | "decodeSubmissions" | "decodeReadbacks" | "decodeDispatches") =>
    (after[name] - before[name]) / tokens;
  const hits = after.expertHits - before.expertHits;
  return {
    residency,
    slotsPerLayer: plan.slotsPerLayer,
    budgetBytes: plan.budgetBytes,
    decodePerSecond: median(runs),
    decodeRuns: runs,
    ratio: median(runs.map((speed, i) => speed / (base.runs[i] ?? Number.NaN))),
    roundsPerToken: per("decodeRounds"),
    cleanShare: per("cleanSteps"),
    hitRate: hits / (hits + after.expertMisses - before.expertMisses),
    fetchedBytesPerToken: (after.expertBytesFetched - before.expertBytesFetched) / tokens,
    submissionsPerToken: per("decodeSubmissions"),
    readbacksPerToken: per("decodeReadbacks"),
    dispatchesPerToken: per("decodeDispatches"),
    weightBytesPerToken: (after.decodeWeightBytesRead - before.decodeWeightBytesRead) / tokens,
    leastWeightBytesPerToken: leastBytes(model, plan.denseBytes, plan.expertBytes),
    gpuBytes: after.gpuBytes,
    gpuBytesPeak: after.gpuBytesPeak,
  };
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

function budgetFor({ fullBudgetBytes, expertBytes, minBudgetBytes }: MemoryPlan, share: number): number {
  return Math.max(minBudgetBytes, Math.floor(fullBudgetBytes - expertBytes * (1 - share)));
}

async function promptOf(model: Model, length: number): Promise<number[]> {
  let ids: number[] = [];
  for (let text = TEXT; ids.length < length; text += TEXT) ids = await model.encode(text);
  return ids.slice(0, length);
}

/** Draws `count` ids greedily, through any stop id. */
async function take(session: Session, count: number): Promise<number> {
  let taken = 0;
  for await (const _ of session.generate({ maxTokens: count, stopIds: [] })) taken += 1;
  return taken;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
