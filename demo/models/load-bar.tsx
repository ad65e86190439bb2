/** How far loading is: the phase in words, a bar over the bytes of the dense part, and a way to call it off. */
import type { LoadProgress } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { useStore } from "../use-store.ts";

const PHASES: Readonly<Record<LoadProgress["phase"], string>> = {
  header: "Reading the table of contents",
  device: "Waking the GPU",
  weights: "Fetching the dense part",
  ready: "Ready",
};

export function LoadBar({ app }: { app: AppState }) {
  const loading = useStore(app.loading);
  if (!loading) return null;
  const { phase, loadedBytes, totalBytes } = loading.progress;
  const known = totalBytes > 0 ? { value: loadedBytes / totalBytes } : {};
  return (
    <section id="load" class="load" aria-label="Loading">
      <label id="load-label" for="load-bar">
        {PHASES[phase]}
      </label>
      <progress id="load-bar" max={1} {...known} />
      <span id="load-bytes" class="figures">
        {totalBytes > 0 ? `${bytes(loadedBytes)} of ${bytes(totalBytes)}` : ""}
      </span>
      <button id="load-cancel" type="button" class="quiet" onClick={() => app.cancel()}>
        Cancel
      </button>
    </section>
  );
}
