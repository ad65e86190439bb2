/** How far loading is: the phase in words, a bar over the bytes of the dense part, and ways to pause it and to call it off. */
import type { LoadProgress } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { useStore } from "../use-store.ts";
import { whyNoPause } from "./pausing.ts";

const PHASES: Readonly<Record<LoadProgress["phase"], string>> = {
  header: "Reading the table of contents",
  device: "Waking the GPU",
  weights: "Fetching the dense part",
  ready: "Ready",
};

export function LoadBar({ app }: { app: AppState }) {
  const loading = useStore(app.loading);
  const paused = useStore(app.paused);
  const shown = loading ?? paused;
  if (!shown) return null;
  const { phase, loadedBytes, totalBytes } = shown.progress;
  const known = totalBytes > 0 ? { value: loadedBytes / totalBytes } : {};
  return (
    <section id="load" class="load" aria-label="Loading">
      <label id="load-label" for="load-bar">
        {loading ? PHASES[phase] : `Paused: ${shown.choice.label}`}
      </label>
      <progress id="load-bar" max={1} {...(loading ? known : { value: 0, ...known })} />
      <span id="load-bytes" class="figures">
        {totalBytes > 0 ? `${bytes(loadedBytes)} of ${bytes(totalBytes)}` : ""}
      </span>
      <span class="load-buttons">
        {!loading && (
          <button id="load-resume" type="button" onClick={() => void app.resume()}>
            Resume
          </button>
        )}
        {loading && !loading.looking && <PauseButton app={app} />}
        <button id="load-cancel" type="button" class="quiet" onClick={() => app.cancel()}>
          Cancel
        </button>
      </span>
      {!loading && (
        <p class="hint load-note">
          What has come is kept on disk; resuming reads it from there and fetches the rest, block by block.
        </p>
      )}
    </section>
  );
}

function PauseButton({ app }: { app: AppState }) {
  const choice = useStore(app.choice);
  const why = whyNoPause(choice, navigator.storage);
  return (
    <button id="load-pause" type="button" disabled={why !== ""} title={why} onClick={() => app.pause()}>
      Pause
    </button>
  );
}
