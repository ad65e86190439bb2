/**
 * The model that is open, and the calls that open, watch and close one. Opening another closes the one before, and
 * calls off a load still under way. A new model is loaded with the budget that it comes with, or the
 * runtime's own, and then given the slider's: experts are fetched on demand, so nothing was fetched in vain.
 */
import { type LoadProgress, loadModel, type MemoryPlan, type Model, type StepEvent } from "../src/index.ts";
import type { Choice } from "./model-source.ts";

export interface OpenModel {
  readonly model: Model;
  readonly plan: MemoryPlan;
}

export interface OpenOptions {
  readonly budgetBytes: (plan: MemoryPlan) => number;
  readonly onProgress: (progress: LoadProgress) => void;
  readonly onStep: (event: StepEvent) => void;
}

export class Library {
  #model: Model | null = null;
  #loading: AbortController | null = null;

  get model(): Model | null {
    return this.#model;
  }

  /** Opens `choice`. @throws what `loadModel` throws; `AbortError` when called off. Nothing is open then. */
  async open(choice: Choice, options: OpenOptions): Promise<OpenModel> {
    this.cancel();
    const loading = new AbortController();
    this.#loading = loading;
    try {
      await this.close();
      const opened = await this.#load(choice, loading.signal, options);
      this.#model = opened.model;
      return opened;
    } finally {
      if (this.#loading === loading) this.#loading = null;
    }
  }

  /** Calls off a load under way. */
  cancel(): void {
    this.#loading?.abort();
  }

  /** Closes the open model; one whose worker is gone closes as well. */
  async close(): Promise<void> {
    const model = this.#model;
    this.#model = null;
    await model?.dispose().catch(() => {});
  }

  async #load(choice: Choice, signal: AbortSignal, options: OpenOptions): Promise<OpenModel> {
    const { source, budgetBytes } = choice;
    const wanted = budgetBytes === undefined ? {} : { gpuBudgetBytes: budgetBytes };
    const model = await loadModel(source, { signal, onProgress: options.onProgress, ...wanted });
    try {
      await model.watch(options.onStep);
      const plan = await model.setBudget(options.budgetBytes(await model.memory()));
      signal.throwIfAborted();
      return { model, plan };
    } catch (error) {
      await model.dispose().catch(() => {});
      throw error;
    }
  }
}
