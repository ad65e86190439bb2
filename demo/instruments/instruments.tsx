/** The panel beside the chat: experts on the GPU, the budget, this answer's counters, and what the memory is spent on. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Model, StepEvent } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { adviceText } from "./advice.ts";
import { BudgetSlider } from "./budget-slider.tsx";
import { Counters } from "./counters.tsx";
import { ResidencyView } from "./residency-view.ts";
import { AnswerTiles, GpuMemory, type Reading } from "./stats-view.tsx";
import { type History, residencyAfter } from "./step-history.ts";
import { StepStrip } from "./step-strip.tsx";

const POLL_MS = 200;
const ADVICE_MS = 2000;

export function Instruments({ app }: { app: AppState }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scroll = useRef<HTMLDivElement>(null);
  const summary = useRef<HTMLParagraphElement>(null);
  const cell = useRef<HTMLParagraphElement>(null);
  const [reading, read] = useState<Reading | null>(null);
  const [advice, advise] = useState("");
  useEffect(() => {
    if (!canvas.current || !scroll.current || !summary.current || !cell.current) return;
    const elements = { canvas: canvas.current, scroll: scroll.current, summary: summary.current, cell: cell.current };
    const view = new ResidencyView(elements);
    const ends = [watch(app, view, read), watchAdvice(app, advise), lookBack(app, view)];
    return () => {
      for (const end of ends) end();
      view.dispose();
    };
  }, [app]);
  return (
    <aside class="panel" aria-label="Instruments">
      <section class="shelf" aria-labelledby="shelf-title">
        <h2 id="shelf-title">Experts on the GPU</h2>
        <p class="summary" ref={summary} />
        <BudgetSlider app={app} />
        <div class="shelf-scroll" ref={scroll}>
          <canvas id="shelf-canvas" ref={canvas} role="img" aria-label="No model is loaded yet." />
        </div>
        <div class="shelf-foot">
          <ul class="legend" aria-label="Legend">
            {["not fetched", "resident", "chosen now", "just fetched", "evicted"].map((label, i) => (
              <li key={label}>
                <i class={`swatch ${["absent", "resident", "chosen", "fetched", "evicted"][i]}`} />
                {label}
              </li>
            ))}
          </ul>
          <p class="hint figures" ref={cell} aria-hidden="true" />
        </div>
        <p id="advice" class="hint">
          {advice}
        </p>
      </section>
      <StepStrip app={app} />
      <section aria-labelledby="stats-title">
        <h2 id="stats-title">This answer</h2>
        <AnswerTiles reading={reading} />
        <Counters reading={reading} />
      </section>
      <section aria-labelledby="gpu-title">
        <h2 id="gpu-title">GPU memory</h2>
        <GpuMemory reading={reading} />
      </section>
    </aside>
  );
}

/** Keeps picture and figures current: by events while the model works, by snapshots where those do not tell. */
function watch(app: AppState, view: ResidencyView, read: (reading: Reading | null) => void): () => void {
  let polledAt = 0;
  let polling = false;
  const attempt = async (model: Model, run: () => Promise<void>) => {
    try {
      await run();
    } catch (error) {
      if (model === app.model.value) app.showError(error);
    }
  };
  const poll = async (model: Model) => {
    if (polling) return;
    polling = true;
    await attempt(model, async () => {
      const stats = await model.stats();
      const plan = app.plan.value;
      if (model !== app.model.value || !plan) return;
      read({ stats, since: app.since.value ?? stats, plan, residents: view.residents, experts: view.experts });
    });
    polling = false;
    polledAt = performance.now();
  };
  const refresh = async (model: Model, take: "reset" | "sync") => {
    await attempt(model, async () => {
      const snapshot = await model.residency();
      if (model === app.model.value) view[take](snapshot);
    });
    await poll(model);
  };
  const opened = (model: Model | null) => {
    view.reset([]);
    read(null);
    if (model) void refresh(model, "reset");
  };
  const again = () => app.model.value && void refresh(app.model.value, "sync");
  const ends = [
    app.model.subscribe(opened),
    app.plan.subscribe(again),
    app.answering.subscribe((answering) => {
      if (answering) return;
      view.rest();
      again();
    }),
    app.steps.subscribe((event) => {
      const model = app.model.value;
      if (!model) return;
      if (view.apply(event)) void refresh(model, "sync");
      else if (performance.now() - polledAt > POLL_MS) void poll(model);
    }),
  ];
  opened(app.model.value);
  return () => {
    for (const end of ends) end();
  };
}

/** Keeps the advice current while the model writes, and when it has written. */
function watchAdvice(app: AppState, advise: (text: string) => void): () => void {
  let askedAt = -ADVICE_MS;
  const ask = async () => {
    const model = app.model.value;
    askedAt = performance.now();
    if (!model) return advise("");
    // A model that is closed meanwhile has no advice, and whoever closed it says why.
    const advice = await model.advice().catch(() => null);
    if (advice && model === app.model.value) advise(adviceText(advice));
  };
  const ends = [
    app.model.subscribe(() => void ask()),
    app.plan.subscribe(() => void ask()),
    app.answering.subscribe((answering) => !answering && void ask()),
    app.steps.subscribe(() => performance.now() - askedAt > ADVICE_MS && void ask()),
  ];
  void ask();
  return () => {
    for (const end of ends) end();
  };
}

/** Shows on the shelf the step that the reader looks back at. */
function lookBack(app: AppState, view: ResidencyView): () => void {
  let shown: StepEvent | null = null;
  return app.history.subscribe(({ steps, at }: History) => {
    const event = at === null ? null : (steps[at] ?? null);
    if (event === shown) return;
    shown = event;
    if (!event || at === null) return view.lookBack(null);
    const [before, after] = [at - 1, at].map((index) => residencyAfter(steps, index, view.snapshot()));
    view.lookBack({ event, before: before ?? [], after: after ?? [] });
  });
}
