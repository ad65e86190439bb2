/** The page's four views as tabs: arrow keys, Home and End move between them, and each keeps its state while hidden. */
import { type AppState, TABS, type TabName } from "../app-state.ts";
import { useStore } from "../use-store.ts";

const LABELS: Readonly<Record<TabName, string>> = {
  chat: "Chat",
  models: "Models",
  bench: "Bench",
  settings: "Settings",
};

export function TabList({ app }: { app: AppState }) {
  const selected = useStore(app.tab);
  const onKeyDown = (event: KeyboardEvent) => {
    const next = neighbour(selected, event.key);
    if (!next) return;
    event.preventDefault();
    app.tab.set(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Views" onKeyDown={onKeyDown}>
      {TABS.map((name) => (
        <button
          key={name}
          id={`tab-${name}`}
          type="button"
          role="tab"
          aria-selected={name === selected}
          aria-controls={`view-${name}`}
          tabIndex={name === selected ? 0 : -1}
          onClick={() => app.tab.set(name)}
        >
          {LABELS[name]}
        </button>
      ))}
    </div>
  );
}

function neighbour(from: TabName, key: string): TabName | undefined {
  const at = TABS.indexOf(from);
  if (key === "ArrowRight") return TABS[(at + 1) % TABS.length];
  if (key === "ArrowLeft") return TABS[(at + TABS.length - 1) % TABS.length];
  if (key === "Home") return TABS[0];
  return key === "End" ? TABS.at(-1) : undefined;
}
