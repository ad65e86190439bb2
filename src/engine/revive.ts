/**
 * Brings a model back onto a GPU after its device was lost: another device, the dense weights from wherever they were read
 * first, the slots. What sessions had is computed again by their next steps, and experts come when they are wanted.
 * What was brought back stays when a later part fails, so that the next try goes on from there.
 */
import type { WeightMap } from "../weights/weight-map.ts";
import { loadDeviceWeights } from "./device-weights.ts";
import type { Parts } from "./parts.ts";

type Missing = "device" | "weights" | "slots" | "nothing";

export interface RevivalHooks {
  /** Whatever was on the device is gone. */
  lost(): void;
  /** Another device is there; `message` tells of it. */
  reopened(message: string): void;
  /** Makes the slots, and fills them where they must be full. */
  fillSlots(): Promise<void>;
}

export class Revival {
  readonly #parts: Parts;
  readonly #weights: WeightMap;
  readonly #signal: AbortSignal;
  readonly #hooks: RevivalHooks;
  #missing: Missing = "slots";

  /** @param signal the model's end. */
  constructor(parts: Parts, weights: WeightMap, signal: AbortSignal, hooks: RevivalHooks) {
    this.#parts = parts;
    this.#weights = weights;
    this.#signal = signal;
    this.#hooks = hooks;
  }

  /** Not every layer has slots. */
  slotsMissing(): void {
    if (this.#missing === "nothing") this.#missing = "slots";
  }

  /** Brings back what is missing. @throws DeviceError, SourceError, `AbortError`; what is missing then is tried again next. */
  async restore(): Promise<void> {
    const { gpu, weights } = this.#parts;
    if (gpu.loss.error) this.#missing = "device";
    if (this.#missing === "device") {
      await this.#reopen();
      this.#missing = "weights";
    }
    if (this.#missing === "weights") {
      await loadDeviceWeights(gpu, this.#weights, this.#signal, () => {}, weights);
      this.#missing = "slots";
    }
    if (this.#missing === "slots") {
      await this.#hooks.fillSlots();
      this.#missing = "nothing";
    }
  }

  async #reopen(): Promise<void> {
    const { gpu, pager, host } = this.#parts;
    const why = gpu.loss.error?.message ?? "";
    // What is made anew anyway need not be there twice.
    await pager.drop();
    host.reset();
    this.#hooks.lost();
    const found = await gpu.reopen(this.#signal);
    const other = found.name === gpu.facts.name ? "" : ` It is another adapter, ${found.name}: last bits may differ.`;
    this.#hooks.reopened(`${why} Another one was opened; weights are read again, and answers go on.${other}`);
  }
}
