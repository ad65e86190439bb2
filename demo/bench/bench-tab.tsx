/** The measurements of the committed benches on the open model, in this browser: settings, progress, a table, a file. */
import { useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { loadOptions } from "../settings/settings.ts";
import { useStore } from "../use-store.ts";
import { type BenchFigures, type BenchHooks, type BenchSettings, measureOpen } from "./bench-measure.ts";
import { download, FiguresTable } from "./figures-table.tsx";
import { measureWays } from "./ways.ts";

const LENGTHS = {
  short: { promptTokens: 32, decodeTokens: 8, rounds: 1 },
  full: { promptTokens: 128, decodeTokens: 32, rounds: 5 },
} as const;
const RESIDENCIES = [1, 0.5, 0.25];
/** Few enough experts that the ways differ. */
const WAYS_RESIDENCY = 0.25;

type Length = keyof typeof LENGTHS;
type What = "budgets" | "ways";

interface Measured {
  readonly figures: BenchFigures;
  readonly date: string;
}

interface Running {
  readonly say: (text: string) => void;
  readonly show: (measured: Measured) => void;
}

export function BenchTab({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const answering = useStore(app.answering);
  const [length, choose] = useState<Length>("short");
  const [what, compare] = useState<What>("budgets");
  const [progress, say] = useState("");
  const [stop, keepStop] = useState<(() => void) | null>(null);
  const [measured, show] = useState<Measured | null>(null);
  const start = async () => {
    show(null);
    const running = { say, show };
    const stopping = new AbortController();
    keepStop(() => () => stopping.abort());
    const bench = what === "budgets" ? budgets : ways;
    await bench(app, LENGTHS[length], running, stopping.signal);
    keepStop(null);
  };
  return (
    <section class="drawer" aria-labelledby="bench-title">
      <h2 id="bench-title">Measure this device</h2>
      <p class="hint">
        A prompt and the tokens after it, on the model that is open and with the tiers that it has: at three budgets in
        turns, as <code>npm run bench</code> does, or in the ways of running on behind a missing expert that{" "}
        <code>npm run bench:paging</code> compares, for which the model is loaded again each time.
      </p>
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault();
          void start();
        }}
      >
        <label for="bench-what">Compare</label>
        <select id="bench-what" value={what} onChange={(event) => compare(event.currentTarget.value as What)}>
          <option value="budgets">budgets</option>
          <option value="ways">ways of running ahead</option>
        </select>
        <label for="bench-length">Length</label>
        <select id="bench-length" value={length} onChange={(event) => choose(event.currentTarget.value as Length)}>
          <option value="short">short: 8 tokens, one round</option>
          <option value="full">full: 32 tokens, five rounds</option>
        </select>
        <button id="bench-start" type="submit" class="primary" disabled={!model || answering || stop !== null}>
          Measure
        </button>
        <button id="bench-stop" type="button" disabled={!stop} onClick={() => stop?.()}>
          Stop
        </button>
      </form>
      <p id="bench-status" role="status" class="hint">
        {progress || (model ? "" : "Open a model first.")}
        {answering && !stop ? " The model is writing; measuring waits for its end." : ""}
      </p>
      {measured && <FiguresTable figures={measured.figures} />}
      {measured && (
        <div class="actions">
          <button
            id="bench-download"
            type="button"
            onClick={() => download({ ...measured.figures, date: measured.date })}
          >
            Download as JSON
          </button>
        </div>
      )}
    </section>
  );
}

type Settings = Omit<BenchSettings, "residencies">;
type Bench = (app: AppState, settings: Settings, running: Running, signal: AbortSignal) => Promise<void>;

/** Measures with `run`, tells what comes of it, and passes errors on. */
async function told(
  app: AppState,
  { say, show }: Running,
  signal: AbortSignal,
  run: (hooks: BenchHooks) => Promise<BenchFigures>,
): Promise<void> {
  try {
    const figures = await run({ say, signal });
    show({ figures, date: new Date().toISOString() });
    say(`Measured on ${figures.adapter || "an unnamed adapter"}.`);
    app.say("The bench is through.");
  } catch (error) {
    say(signal.aborted ? "Stopped." : "The bench broke off.");
    throw error;
  }
}

/** On the open model, which changes its budget from turn to turn and has its own back afterwards. */
const budgets: Bench = (app, settings, running, signal) =>
  new Promise((resolve) => {
    if (!app.model.value || app.answering.value) return resolve();
    app.answer(async (open, stopped) => {
      const until = AbortSignal.any([signal, stopped]);
      try {
        const all = { ...settings, residencies: RESIDENCIES };
        await told(app, running, until, (hooks) => measureOpen(open, all, hooks));
      } catch (error) {
        if (!until.aborted) throw error;
      } finally {
        app.plan.set(await open.memory().catch(() => null));
        resolve();
      }
    });
  });

/** The open model makes room for those that are measured, and is opened again afterwards. */
const ways: Bench = async (app, settings, running, signal) => {
  const choice = app.choice.value;
  const options = loadOptions(app.settings.value);
  try {
    await app.close();
    const all = { ...settings, residencies: [WAYS_RESIDENCY] };
    await told(app, running, signal, (hooks) => measureWays(choice.source, options, all, hooks));
  } catch (error) {
    app.showError(error); // an abort is no notice
  } finally {
    await app.open(choice);
  }
};
