/** The model that is open: what it is, where it is from, and the background fill of its disk cache. */
import { useEffect, useState } from "preact/hooks";
import type { Model, Stats } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { useStore } from "../use-store.ts";
import { placeOf } from "./choice.ts";

const POLL_MS = 1000;

export function OpenModel({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const choice = useStore(app.choice);
  const place = placeOf(choice);
  return (
    <section class="drawer" aria-labelledby="open-title">
      <h2 id="open-title">{model ? choice.label : "No model is open"}</h2>
      <p id="model-facts" class="hint">
        {model ? `${place}: ${factsOf(model)}.` : `${place}: not loaded.`}
      </p>
      {model && <Fill app={app} model={model} />}
      <div class="actions">
        <button id="reload" type="button" onClick={() => void app.open(choice)}>
          {model ? "Load it again" : "Load it"}
        </button>
      </div>
    </section>
  );
}

/** Fetches the experts that no text has asked for yet, while nothing else is fetched. */
function Fill({ app, model }: { app: AppState; model: Model }) {
  const [stats, show] = useState<Stats | null>(null);
  const tab = useStore(app.tab);
  useEffect(() => {
    if (tab !== "models") return;
    const ask = async () => {
      const now = await model.stats().catch(() => null); // a model that is closed has none
      if (now && model === app.model.value) show(now);
    };
    void ask();
    const timer = setInterval(() => void ask(), POLL_MS);
    return () => clearInterval(timer);
  }, [model, tab]);
  if (!stats) return null;
  if (stats.cacheDisabled !== "") return <p class="hint">Nothing is kept on disk: {whyNot(stats.cacheDisabled)}.</p>;
  const total = expertsOf(model);
  const running = stats.fillState === "running";
  const turn = async () => {
    try {
      await model.setFill(running ? "off" : "on");
      show(await model.stats());
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

function expertsOf({ spec }: Model): number {
  return spec.layers.reduce((sum, { mlp }) => sum + (mlp?.kind === "moe" ? mlp.numExperts : 0), 0);
}

function factsOf(model: Model): string {
  const { layers, architecture, contextLength } = model.spec;
  const moe = layers.map((layer) => layer.mlp).filter((mlp) => mlp?.kind === "moe");
  const first = moe[0];
  const experts = first ? `, ${moe.length} of them with ${first.numExperts} experts, ${first.topK} at a time` : "";
  return `${architecture}, ${layers.length} layers${experts}, context ${contextLength} tokens`;
}
