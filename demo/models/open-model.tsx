/** The model that is open: what it is, where it is from, and the background fill of its disk cache. */
import { useEffect, useState } from "preact/hooks";
import type { Model, Stats } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { useStore } from "../use-store.ts";
import { placeOf } from "./choice.ts";

const POLL_MS = 1000;

interface Props {
  readonly app: AppState;
  readonly stats: Stats | null;
  readonly refresh: () => Promise<void>;
}

export function OpenModel({ app, stats, refresh }: Props) {
  const model = useStore(app.model);
  const choice = useStore(app.choice);
  const place = placeOf(choice);
  return (
    <section class="drawer" aria-labelledby="open-title">
      <h2 id="open-title">{model ? choice.label : "No model is open"}</h2>
      <p id="model-facts" class="hint">
        {model ? `${place}: ${factsOf(model)}.` : `${place}: not loaded.`}
      </p>
      {model && stats && <Fill {...{ app, model, stats, refresh }} />}
      <div class="actions">
        <button id="reload" type="button" onClick={() => void app.open(choice)}>
          {model ? "Load it again" : "Load it"}
        </button>
      </div>
    </section>
  );
}

/** The counters of the open model while this view is shown, and what asks for them at once. */
export function useStats(app: AppState): [stats: Stats | null, refresh: () => Promise<void>] {
  const [stats, show] = useState<Stats | null>(null);
  const tab = useStore(app.tab);
  const model = useStore(app.model);
  const refresh = async () => {
    const now = await model?.stats().catch(() => null); // a model that is closed has none
    if (model === app.model.value) show(now ?? null);
  };
  useEffect(() => {
    show(null);
    if (tab !== "models" || !model) return;
    void refresh();
    const timer = setInterval(() => void refresh(), POLL_MS);
    return () => clearInterval(timer);
  }, [model, tab]);
  return [stats, refresh];
}

interface FillProps {
  readonly app: AppState;
  readonly model: Model;
  readonly stats: Stats;
  readonly refresh: () => Promise<void>;
}

/** Fetches the experts that no text has asked for yet, while nothing else is fetched. */
function Fill({ app, model, stats, refresh }: FillProps) {
  if (stats.cacheDisabled !== "") return <p class="hint">Nothing is kept on disk: {whyNot(stats.cacheDisabled)}.</p>;
  const total = numExperts(model);
  if (total === 0) return null;
  const running = stats.fillState === "running";
  const turn = async () => {
    try {
      await model.setFill(running ? "off" : "on");
      await refresh();
    } catch (error) {
      app.showError(error);
    }
  };
  return (
    <div class="fill">
      <label for="fill-bar">
        On disk: {stats.cachedExperts} of {total} experts
      </label>
      <progress id="fill-bar" max={total} value={stats.cachedExperts} />
      <span id="fill-state" class="figures">
        {bytes(stats.cacheBytes)}, {STATES[stats.fillState]}
      </span>
      <button id="fill" type="button" disabled={stats.fillState === "done"} onClick={() => void turn()}>
        {running ? "Pause the fill" : "Fetch the rest"}
      </button>
    </div>
  );
}

const STATES: Readonly<Record<Stats["fillState"], string>> = {
  off: "filled as experts are used",
  running: "fetching the rest",
  full: "no room for more",
  failed: "the fill broke off",
  done: "all there",
};

function whyNot(reason: string): string {
  return reason === "off" ? "its bytes are on this machine, or the page may not store" : reason;
}

/** Experts of all layers. */
export function numExperts({ spec }: Model): number {
  return spec.layers.reduce((sum, { mlp }) => sum + (mlp?.kind === "moe" ? mlp.numExperts : 0), 0);
}

function factsOf(model: Model): string {
  const { layers, architecture, contextLength } = model.spec;
  const moe = layers.map((layer) => layer.mlp).filter((mlp) => mlp?.kind === "moe");
  const first = moe[0];
  const experts = first ? `, ${moe.length} of them with ${first.numExperts} experts, ${first.topK} at a time` : "";
  return `${architecture}, ${layers.length} layers${experts}, context ${contextLength} tokens`;
}
