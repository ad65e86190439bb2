/** The measurements of `npm run bench` on the open model, in this browser: settings, progress, a table, a file. */
import { useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import { type BenchFigures, type BenchSettings, measureOpen } from "./bench-measure.ts";
import { download, FiguresTable } from "./figures-table.tsx";

const LENGTHS: Readonly<Record<string, BenchSettings>> = {
  short: { residencies: [1, 0.5, 0.25], promptTokens: 32, decodeTokens: 8, rounds: 1 },
  full: { residencies: [1, 0.5, 0.25], promptTokens: 128, decodeTokens: 32, rounds: 5 },
};

interface Measured {
  readonly figures: BenchFigures;
  readonly date: string;
}

export function BenchTab({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const answering = useStore(app.answering);
  const [length, choose] = useState("short");
  const [progress, say] = useState("");
  const [running, run] = useState(false);
  const [measured, show] = useState<Measured | null>(null);
  const start = () =>
    app.answer(async (open, signal) => {
      run(true);
      show(null);
      try {
        const settings = LENGTHS[length] ?? LENGTHS.short;
        if (!settings) return;
        const figures = await measureOpen(open, settings, { say, signal });
        show({ figures, date: new Date().toISOString() });
        say(`Measured on ${figures.adapter || "an unnamed adapter"}.`);
        app.say("The bench is through.");
      } catch (error) {
        say(signal.aborted ? "Stopped." : "The bench broke off.");
        throw error;
      } finally {
        run(false);
        app.plan.set(await open.memory().catch(() => null)); // the budget is as it was, and so is the plan
      }
    });
  return (
    <section class="drawer" aria-labelledby="bench-title">
      <h2 id="bench-title">Measure this device</h2>
      <p class="hint">
        A prompt and the tokens after it, at three budgets in turns, on the model that is open and with the tiers that
        it has: what <code>npm run bench</code> measures on the built-in one. The budget is put back afterwards.
      </p>
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault();
          start();
        }}
      >
        <label for="bench-length">Length</label>
        <select id="bench-length" value={length} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="short">short: 8 tokens, one round</option>
          <option value="full">full: 32 tokens, five rounds</option>
        </select>
        <button id="bench-start" type="submit" class="primary" disabled={!model || answering}>
          Measure
        </button>
        <button id="bench-stop" type="button" disabled={!running} onClick={() => app.stop()}>
          Stop
        </button>
      </form>
      <p id="bench-status" role="status" class="hint">
        {progress || (model ? "" : "Open a model first.")}
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
