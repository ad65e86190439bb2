/** What this page keeps on disk, model by model: how much, since when, and a way to be rid of it. */
import { useEffect, useState } from "preact/hooks";
import type { CachedModel, Stats } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { useStore } from "../use-store.ts";
import { type Choice, isRemote } from "./choice.ts";
import { numExperts } from "./open-model.tsx";
import { ago, type StorageShelf, type StorageState } from "./storage.ts";

interface Props {
  readonly app: AppState;
  readonly shelf: StorageShelf;
  /** Of the open model, whose record on disk is behind. */
  readonly stats: Stats | null;
}

export function StorageManager({ app, shelf, stats }: Props) {
  const state = useStore(shelf);
  const tab = useStore(app.tab);
  const model = useStore(app.model);
  const attempt = (run: () => Promise<unknown>) => void run().catch((error: unknown) => app.showError(error));
  useEffect(() => {
    if (tab === "models") attempt(() => shelf.refresh());
  }, [tab, model]);
  if (!state) return null;
  return (
    <section id="storage" class="drawer" aria-labelledby="storage-title">
      <h2 id="storage-title">Kept on disk</h2>
      <Room state={state} />
      {state.models.length === 0 && (
        <p class="hint">No model is kept. What is read from an address is, from then on.</p>
      )}
      {state.models.length > 0 && <Models {...{ app, shelf, stats, models: state.models, attempt }} />}
      <div class="actions">
        {state.persisted === false && (
          <button id="persist" type="button" onClick={() => attempt(() => askToKeep(app, shelf))}>
            Ask the browser to keep it
          </button>
        )}
        <span id="persist-state" class="hint">
          {state.persisted === null ? "" : state.persisted ? KEPT : NOT_KEPT}
        </span>
      </div>
    </section>
  );
}

const KEPT = "The browser keeps this storage until you clear it.";
const NOT_KEPT = "The browser may clear this storage when the disk runs low.";

function Room({ state: { models, usage, quota } }: { state: StorageState }) {
  const held = models.reduce((sum, model) => sum + model.bytes, 0);
  if (quota === null) return <p class="figures hint">{bytes(held)} in models</p>;
  const text = `${bytes(held)} in models; this page uses ${bytes(usage ?? 0)} of ${bytes(quota)}`;
  return (
    <div class="room">
      <label for="room">{text}</label>
      <progress id="room" max={quota} value={Math.min(quota, usage ?? 0)} />
    </div>
  );
}

async function askToKeep(app: AppState, shelf: StorageShelf): Promise<void> {
  const kept = await shelf.persist();
  app.say(kept ? KEPT : "The browser did not agree to keep it; it decides by how the page is used.");
}

interface ModelsProps extends Props {
  readonly models: readonly CachedModel[];
  readonly attempt: (run: () => Promise<unknown>) => void;
}

function Models({ app, shelf, stats, models, attempt }: ModelsProps) {
  const open = useStore(app.model);
  const choice = useStore(app.choice);
  return (
    <ul class="kept">
      {models.map((model) => {
        const inUse = open !== null && isSame(model, choice);
        const remove = async () => {
          if (inUse) await app.close();
          await shelf.delete(model.id);
          app.say(`${model.name} is deleted from disk.`);
        };
        const now = inUse && stats ? upToDate(model, stats, numExperts(open)) : model;
        return <Kept key={model.id} model={now} inUse={inUse} remove={() => attempt(remove)} />;
      })}
    </ul>
  );
}

function Kept({ model, inUse, remove }: { model: CachedModel; inUse: boolean; remove: () => void }) {
  const [asking, ask] = useState(false);
  const { name, source, bytes: size, expertShare, lastUsed } = model;
  const label = name || "A model without a readable record";
  return (
    <li>
      <div>
        <strong>{label}</strong> {inUse && <small class="badge">open</small>}
        <small class="figures">{source}</small>
        <small>
          {bytes(size)}, {Math.round(100 * expertShare)} % of its experts, used {ago(lastUsed, Date.now())}
        </small>
      </div>
      {asking ? (
        <div class="actions">
          <span>{inUse ? "It is open, and will be closed." : "Delete it?"}</span>
          <button type="button" class="primary" onClick={remove}>
            Delete {label}
          </button>
          <button type="button" onClick={() => ask(false)}>
            Keep it
          </button>
        </div>
      ) : (
        <button type="button" aria-label={`Delete ${label}`} onClick={() => ask(true)}>
          Delete
        </button>
      )}
    </li>
  );
}

function upToDate(model: CachedModel, { cacheBytes, cachedExperts }: Stats, total: number): CachedModel {
  return { ...model, bytes: cacheBytes, expertShare: total > 0 ? cachedExperts / total : 0 };
}

/** Whether `kept` is what `choice` reads: by address, or by the name on the hub. */
function isSame(kept: CachedModel, choice: Choice): boolean {
  if (!isRemote(choice)) return false;
  const { source } = choice;
  if (typeof source === "object" && "repo" in source) return kept.source.includes(source.repo);
  const address = new URL(String(source), document.baseURI);
  return kept.source.replace(/\/$/, "") === `${address.origin}${address.pathname}`.replace(/\/$/, "");
}
