/**
 * What the whole page shares: the model that is open, the settings, notices, and what is being said to a screen reader.
 * Views read its stores and call its methods; it knows no view and no DOM, so it runs in Node as it does in the page.
 */
import type {
  ChatFormat,
  InspectOptions,
  LoadOptions,
  LoadProgress,
  MemoryPlan,
  Model,
  ModelInspection,
  ModelSource,
  Stats,
  StepEvent,
} from "../src/index.ts";
import { budgetBytes } from "./instruments/budget.ts";
import { StepHistory } from "./instruments/step-history.ts";
import { type Choice, OCTAVO_TALES } from "./models/choice.ts";
import { Notices, type Remedy } from "./notices.ts";
import { DEFAULT_CONTEXT, type LoadSettings } from "./settings/fields.ts";
import { loadOptions, SettingsStore } from "./settings/settings.ts";
import { Events, Store } from "./store.ts";

export const TABS = ["chat", "models", "bench", "settings"] as const;
export type TabName = (typeof TABS)[number];

/** A load under way, or a look at a model that is not loaded. */
export interface Loading {
  readonly choice: Choice;
  readonly progress: LoadProgress;
  /** Only the headers are read. */
  readonly looking: boolean;
}

/** A load that was called off to be taken up again. */
export interface Paused extends Loading {
  readonly options: OpenOptions;
}

/** What the page needs of the runtime; a test gives its own. */
export interface Runtime {
  loadModel(source: ModelSource, options: LoadOptions): Promise<Model>;
  inspectModel(source: ModelSource, options: InspectOptions): Promise<ModelInspection>;
}

export type OpenOptions = Omit<LoadOptions, "signal" | "onProgress">;

export class AppState {
  readonly tab = new Store<TabName>("chat");
  /** The open model, `null` while there is none. */
  readonly model = new Store<Model | null>(null);
  /** What is open, or is being opened, or failed to open. */
  readonly choice = new Store<Choice>(OCTAVO_TALES);
  /** Whether the open model continues text, having no chat template. */
  readonly prose = new Store(true);
  /** How the open model sets thoughts apart. */
  readonly format = new Store<ChatFormat["kind"]>("plain");
  /** How the open model's budget is spent; set anew by every change of budget. */
  readonly plan = new Store<MemoryPlan | null>(null);
  /** Most tokens of a conversation and its answer together with the open model. */
  readonly contextLength = new Store(0);
  readonly loading = new Store<Loading | null>(null);
  readonly paused = new Store<Paused | null>(null);
  /** The settings that the open model was loaded with. */
  readonly loadedWith = new Store<LoadSettings | null>(null);
  /** Whether the model is writing, and its counters when the answer began. */
  readonly answering = new Store(false);
  readonly since = new Store<Stats | null>(null);
  readonly settings = new SettingsStore();
  readonly notices = new Notices();
  /** What the live region says. */
  readonly status = new Store("");
  /** Every step of the open model. */
  readonly steps = new Events<StepEvent>();
  /** The last of them. */
  readonly history = new StepHistory();
  readonly #runtime: Runtime;
  #load: AbortController | null = null;
  #loadOptions: OpenOptions = {};
  #answer: AbortController | null = null;
  #answerEnd: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Puts `text` into the live region: changes of state, not every token. */
  say(text: string): void {
    this.status.set(text);
  }

  /**
   * Closes what is open and opens `choice`, with the budget that it names, else the share that the settings name.
   * Never throws: an error becomes a notice. @returns whether the model is open.
   */
  async open(choice: Choice, options: OpenOptions = {}): Promise<boolean> {
    const load = this.#beginLoad(choice, options, false);
    this.choice.set(choice);
    this.say(`Loading ${choice.label}.`);
    try {
      await this.close();
      load.signal.throwIfAborted();
      const model = await this.#open(choice, options, load);
      if (!model) return false;
      this.say(`${choice.label} is ready.`);
      return true;
    } catch (error) {
      if (this.#load === load) this.#loadFailed(choice, error);
      return false;
    } finally {
      this.#endLoad(load);
    }
  }

  /** What `choice` is, by its headers; the model that is open stays open. `null` when it could not be found out. */
  async look(choice: Choice): Promise<ModelInspection | null> {
    const load = this.#beginLoad(choice, {}, true);
    try {
      const inspection = await this.#runtime.inspectModel(choice.source, { signal: load.signal });
      load.signal.throwIfAborted();
      this.say(`${choice.label} can be loaded.`);
      return inspection;
    } catch (error) {
      if (this.#load === load) this.notices.show(error, this.model.value ? undefined : this.#otherWay(choice));
      return null;
    } finally {
      this.#endLoad(load);
    }
  }

  /** Calls off the load or look under way, or one that is paused. */
  cancel(): void {
    this.paused.set(null);
    this.#load?.abort();
  }

  /** Calls off the load under way, to be taken up again by `resume`: what came of it is kept on disk. */
  pause(): void {
    const loading = this.loading.value;
    if (!loading || loading.looking) return;
    this.paused.set({ ...loading, options: this.#loadOptions });
    this.#load?.abort();
  }

  /** Takes a paused load up again. @returns whether the model is open. */
  resume(): Promise<boolean> {
    const paused = this.paused.value;
    return paused ? this.open(paused.choice, paused.options) : Promise.resolve(false);
  }

  /** Ends the answer under way and closes the open model; one whose worker is gone closes as well. */
  async close(): Promise<void> {
    const model = this.model.value;
    this.model.set(null); // no further answer begins
    this.plan.set(null);
    this.since.set(null);
    this.stop();
    await this.#answerEnd;
    this.loadedWith.set(null);
    this.history.clear();
    await model?.dispose().catch(() => {});
  }

  /** Gives the open model another budget. @returns whether it took it; a refusal becomes a notice. */
  async setBudget(gpuBudgetBytes: number): Promise<boolean> {
    const model = this.model.value;
    if (!model) return false;
    try {
      const plan = await model.setBudget(gpuBudgetBytes);
      if (model === this.model.value) this.plan.set(plan);
      return true;
    } catch (error) {
      this.showError(error);
      return false;
    }
  }

  /**
   * Lets `write` use the model until it is through or stopped: one answer at a time, and no model is closed under it.
   * Errors are `write`'s own to tell of.
   */
  answer(write: (model: Model, signal: AbortSignal) => Promise<void>): void {
    const model = this.model.value;
    if (!model || this.#answer) return;
    const answer = new AbortController();
    this.#answer = answer;
    this.answering.set(true);
    this.#answerEnd = this.#answerOnce(model, answer.signal, write);
  }

  /** Stops the answer under way, within one step. */
  stop(): void {
    this.#answer?.abort();
  }

  /** A notice of `error`; for a lost device with a way to go on. */
  showError(error: unknown): void {
    const lost = error instanceof Error && error.name === "DeviceError";
    const again: Remedy = { label: "Load the model again", run: () => void this.open(this.choice.value) };
    this.notices.show(error, lost ? again : undefined);
  }

  async #answerOnce(
    model: Model,
    signal: AbortSignal,
    write: (model: Model, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    try {
      this.since.set(await model.stats());
      await write(model, signal);
    } catch (error) {
      if (!signal.aborted) this.showError(error);
    } finally {
      this.#answer = null;
      this.answering.set(false);
    }
  }

  async #open(choice: Choice, options: OpenOptions, load: AbortController): Promise<Model | null> {
    const { signal } = load;
    const onProgress = (progress: LoadProgress) =>
      this.#load === load && this.loading.set({ choice, progress, looking: false });
    const settings = this.settings.value;
    const budget = choice.budgetBytes === undefined ? {} : { gpuBudgetBytes: choice.budgetBytes };
    const model = await this.#runtime.loadModel(choice.source, {
      ...loadOptions(settings),
      backgroundFill: choice.source === OCTAVO_TALES.source, // small, and then any story can be told offline
      ...options,
      ...budget,
      signal,
      onProgress,
    });
    try {
      await model.watch((event) => {
        this.history.add(event);
        this.steps.emit(event);
      });
      // The share of the experts is asked for once it is known what they take; what is fetched until then is no waste.
      const wanted = budgetBytes(await model.memory(), this.settings.value.budgetPercent);
      const plan = await model.setBudget(wanted);
      signal.throwIfAborted();
      this.since.set(await model.stats());
      const { hasTemplate, kind } = await model.chatFormat();
      this.prose.set(!hasTemplate);
      this.format.set(kind);
      this.contextLength.set(Math.min(model.spec.contextLength, settings.contextLength ?? DEFAULT_CONTEXT));
      this.plan.set(plan);
      this.loadedWith.set(settings);
      this.model.set(model);
      return model;
    } catch (error) {
      await model.dispose().catch(() => {});
      throw error;
    }
  }

  #beginLoad(choice: Choice, options: OpenOptions, looking: boolean): AbortController {
    this.#load?.abort();
    this.#load = new AbortController();
    this.#loadOptions = options;
    this.paused.set(null);
    this.notices.clear();
    this.loading.set({ choice, progress: { phase: "header", loadedBytes: 0, totalBytes: 0 }, looking });
    return this.#load;
  }

  #endLoad(load: AbortController): void {
    if (this.#load !== load) return;
    this.#load = null;
    this.loading.set(null);
  }

  #loadFailed(choice: Choice, error: unknown): void {
    const cancelled = error instanceof Error && error.name === "AbortError";
    if (cancelled && this.paused.value) {
      this.say(`Loading ${choice.label} is paused.`);
      return;
    }
    if (cancelled)
      this.notices.show(new Cancelled(choice.label), { label: "Load it", run: () => void this.open(choice) });
    else this.notices.show(error, this.#otherWay(choice));
    this.say(`${choice.label} was not loaded.`);
  }

  #otherWay(failed: Choice): Remedy {
    const label = failed === OCTAVO_TALES ? "Try again" : `Open ${OCTAVO_TALES.label} instead`;
    return { label, run: () => void this.open(OCTAVO_TALES) };
  }
}

/** The reader called a load off: worth a notice, because the page is now without a model. */
class Cancelled extends Error {
  override name = "Cancelled";

  constructor(label: string) {
    super(`${label} was not loaded.`);
  }
}
