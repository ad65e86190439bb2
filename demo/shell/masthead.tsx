/** The head of the page: its name, its tabs, and which model runs on which adapter. */
import type { AdapterSummary } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import { TabList } from "./tabs.tsx";

export function Masthead({ app }: { app: AppState | null }) {
  return (
    <header class="masthead">
      <svg class="mark" viewBox="0 0 44 44" aria-hidden="true">
        <path d="M1.5 4.5h41v35h-41z M11.75 4.5v35 M22 4.5v35 M32.25 4.5v35 M1.5 22h41" />
        <rect x="11.75" y="4.5" width="10.25" height="17.5" />
        <rect x="22" y="22" width="10.25" height="17.5" />
      </svg>
      <div class="title">
        <h1>Octavo</h1>
        <p>A language model in a tab, fetched leaf by leaf as the words ask for it.</p>
      </div>
      {app && <TabList app={app} />}
      {app && <Facts app={app} />}
    </header>
  );
}

function Facts({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const choice = useStore(app.choice);
  const loading = useStore(app.loading);
  const adapter = model ? adapterName(model.adapter) : "not known yet";
  return (
    <dl class="facts">
      <div>
        <dt>Model</dt>
        <dd id="model-name">{model || loading ? choice.label : "none"}</dd>
      </div>
      <div>
        <dt>Adapter</dt>
        <dd id="adapter" title={adapter}>
          {adapter}
        </dd>
      </div>
    </dl>
  );
}

function adapterName({ name, vendor, architecture, isFallback }: AdapterSummary): string {
  const shown = name || [vendor, architecture].filter(Boolean).join(" ") || "unnamed";
  return isFallback ? `${shown} (on the CPU)` : shown;
}
