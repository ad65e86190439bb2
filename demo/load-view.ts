/** How far loading is: the phase in words, a bar over the bytes of the dense part, and a way to call it off. */
import type { LoadProgress } from "../src/index.ts";
import { byId, setText } from "./dom.ts";
import { bytes } from "./format.ts";

const PHASES: Readonly<Record<LoadProgress["phase"], string>> = {
  header: "Reading the table of contents",
  device: "Waking the GPU",
  weights: "Fetching the dense part",
  ready: "Ready",
};

export class LoadView {
  readonly #root = byId("load", HTMLElement);
  readonly #label = byId("load-label", HTMLElement);
  readonly #bar = byId("load-bar", HTMLProgressElement);
  readonly #bytes = byId("load-bytes", HTMLElement);

  constructor(onCancel: () => void) {
    byId("load-cancel", HTMLButtonElement).addEventListener("click", onCancel);
  }

  begin(): void {
    this.#root.hidden = false;
    this.#root.scrollIntoView({ block: "nearest" });
    this.update({ phase: "header", loadedBytes: 0, totalBytes: 0 });
  }

  update(progress: LoadProgress): void {
    setText(this.#label, PHASES[progress.phase]);
    if (progress.totalBytes > 0) {
      this.#bar.value = progress.loadedBytes / progress.totalBytes;
      setText(this.#bytes, `${bytes(progress.loadedBytes)} of ${bytes(progress.totalBytes)}`);
    } else {
      this.#bar.removeAttribute("value");
      setText(this.#bytes, "");
    }
  }

  end(): void {
    this.#root.hidden = true;
  }
}
