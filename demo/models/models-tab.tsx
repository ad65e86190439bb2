/** Everything about which model runs: the one that is open, others to open, what a picked one is, and what is on disk. */
import { useState } from "preact/hooks";
import { cachedModels, deleteCachedModel, type ModelInspection } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import type { Choice } from "./choice.ts";
import { type LoadWish, ModelCard } from "./model-card.tsx";
import { ModelPicker } from "./model-picker.tsx";
import { OpenModel, useStats } from "./open-model.tsx";
import { StorageShelf } from "./storage.ts";
import { StorageManager } from "./storage-manager.tsx";

interface Looked {
  readonly choice: Choice;
  readonly inspection: ModelInspection;
}

export function ModelsTab({ app }: { app: AppState }) {
  const [looked, show] = useState<Looked | null>(null);
  const [shelf] = useState(() => new StorageShelf({ cachedModels, deleteCachedModel, storage: navigator.storage }));
  const [stats, refresh] = useStats(app);
  const look = async (choice: Choice) => {
    show(null);
    const inspection = await app.look(choice);
    if (inspection) show({ choice, inspection });
  };
  const load = async ({ choice, budgetPercent }: LoadWish) => {
    show(null);
    if (budgetPercent !== null) app.settings.change({ budgetPercent });
    if (await app.open(choice)) app.tab.set("chat");
  };
  return (
    <>
      {looked && (
        <ModelCard
          key={looked.inspection}
          app={app}
          {...looked}
          load={(wish) => void load(wish)}
          close={() => show(null)}
        />
      )}
      <OpenModel app={app} stats={stats} refresh={refresh} />
      <ModelPicker app={app} look={(choice) => void look(choice)} />
      <StorageManager app={app} shelf={shelf} stats={stats} />
    </>
  );
}
