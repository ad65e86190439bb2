/**
 * Ways of running on behind a missed expert, one after another on the same model at the same budget: what
 * `npm run bench:paging` compares. Each way is a load of its own, so they cannot take turns: their ratios are as noisy as
 * the machine.
 */
import { type LoadOptions, loadModel, type ModelSource } from "../../src/index.ts";
import { type BenchFigures, type BenchHooks, type BenchSettings, measureOpen } from "./bench-measure.ts";

export const WAYS: readonly (readonly [name: string, options: LoadOptions])[] = [
  ["stop at the first miss", { runAhead: 0, extraGuesses: 0, prefetch: "none" }],
  ["next layer predicted", { runAhead: 0, extraGuesses: 0, prefetch: "next-layer" }],
  ["run ahead", { runAhead: 1000, extraGuesses: 0, prefetch: "none" }],
  ["run ahead, 4 guesses", { runAhead: 1000, extraGuesses: 4, prefetch: "none" }],
  ["chosen by measurement", { runAhead: "auto", extraGuesses: "auto", prefetch: "none" }],
  ["chosen, and by history", { runAhead: "auto", extraGuesses: "auto", prefetch: "history" }],
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
  for (const [way, own] of WAYS) {
    const say = (text: string) => hooks.say(`${way}: ${text}`);
    say("loading…");
    const signal = hooks.signal ? { signal: hooks.signal } : {};
    const model = await loadModel(source, { ...options, ...own, ...signal });
    try {
      const one = { ...settings, residencies: settings.residencies.slice(0, 1) };
      all.push(named(way, await measureOpen(model, one, { ...hooks, say })));
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
