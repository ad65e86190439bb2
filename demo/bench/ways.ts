/**
 * Ways of running on behind a missed expert, one after another on the same model at the same budget: what
 * `npm run bench:paging` compares. Each way is a load of its own, so they cannot take turns: their ratios are as noisy as
 * the machine.
 */
import { type LoadOptions, loadModel, type ModelSource } from "../../src/index.ts";
import { type BenchFigures, type BenchHooks, type BenchSettings, measureOpen } from "./bench-measure.ts";

interface Way {
  readonly name: string;
  /** Ends of tokens that a step runs on to behind a miss: its own, the next one's. As measured where there is none. */
  readonly ends?: number;
  readonly options: LoadOptions;
}

/** The first runs on to none, so that what the model has need not be known to load it. */
export const WAYS: readonly Way[] = [
  { name: "stop at the first miss", ends: 0, options: { extraGuesses: 0, prefetch: "none" } },
  { name: "next layer predicted", ends: 0, options: { extraGuesses: 0, prefetch: "next-layer" } },
  { name: "run ahead", ends: 1, options: { extraGuesses: 0, prefetch: "none" } },
  { name: "run ahead, 4 guesses", ends: 1, options: { extraGuesses: 4, prefetch: "none" } },
  { name: "into the next token", ends: 2, options: { extraGuesses: 0, prefetch: "none" } },
  { name: "chosen by measurement", options: { runAhead: "auto", extraGuesses: "auto", prefetch: "none" } },
  { name: "chosen, and by history", options: { runAhead: "auto", extraGuesses: "auto", prefetch: "history" } },
];

/**
 * Measures every way at the first of `settings.residencies`; ratios refer to the first way.
 * @param options what the model is loaded with besides: its tiers, its policy.
 * @throws what loading throws; `AbortError`. No model is left behind.
 */
export async function measureWays(
  source: ModelSource,
  options: LoadOptions,
  settings: BenchSettings,
  hooks: BenchHooks,
): Promise<BenchFigures> {
  const all: BenchFigures[] = [];
  let moeLayers = 0;
  for (const { name, ends, options: own } of WAYS) {
    const say = (text: string) => hooks.say(`${name}: ${text}`);
    say("loading…");
    const signal = hooks.signal ? { signal: hooks.signal } : {};
    const reach = ends === undefined ? {} : { runAhead: ends * moeLayers };
    const model = await loadModel(source, { ...options, ...own, ...reach, ...signal });
    moeLayers = model.spec.layers.filter(({ mlp }) => mlp?.kind === "moe").length;
    try {
      const one = { ...settings, residencies: settings.residencies.slice(0, 1) };
      all.push(named(name, await measureOpen(model, one, { ...hooks, say })));
    } finally {
      await model.dispose();
    }
  }
  return joined(all);
}

function named(way: string, figures: BenchFigures): BenchFigures {
  return { ...figures, residencies: figures.residencies.map((at) => ({ ...at, way })) };
}

/** The figures of all ways as one, with ratios to the first. */
export function joined(all: readonly BenchFigures[]): BenchFigures {
  const [first] = all;
  if (!first) throw new RangeError("no way was measured");
  const base = first.residencies[0]?.decodePerSecond ?? Number.NaN;
  const rows = all.flatMap(({ residencies }) => residencies);
  return { ...first, residencies: rows.map((at) => ({ ...at, ratio: at.decodePerSecond / base })) };
}
