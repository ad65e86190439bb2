/**
 * What the page does: opens a model, tells a story with it, and keeps the instruments current. Every error becomes a
 * notice, and after any of them the page can open a model or begin a story again.
 */
import {
  type AdapterSummary,
  inspectModel,
  type MemoryPlan,
  type Model,
  type Stats,
  type StepEvent,
} from "../src/index.ts";
import { BudgetSlider } from "./budget-slider.ts";
import { byId, setText } from "./dom.ts";
import { Library } from "./library.ts";
import { LoadView } from "./load-view.ts";
import { type LoadWish, ModelCard } from "./model-card.ts";
import { type Choice, ModelSourceView, OCTAVO_TALES } from "./model-source.ts";
import { Notices, type Remedy } from "./notices.ts";
import { ResidencyView } from "./residency-view.ts";
import { SamplingView } from "./sampling-view.ts";
import { loadSettings } from "./settings.ts";
import { StatsView } from "./stats-view.ts";
import { StoryView } from "./story-view.ts";
import { type Ending, Telling } from "./telling.ts";

const POLL_MS = 200;

export class App {
  readonly #library = new Library();
  readonly #notices = new Notices();
  readonly #residency = new ResidencyView();
  readonly #stats = new StatsView();
  readonly #load = new LoadView(() => {
    this.#looking?.abort();
    this.#library.cancel();
  });
  readonly #card = new ModelCard((wish) => this.#loadWish(wish));
  readonly #sampling: SamplingView;
  readonly #budget: BudgetSlider;
  readonly #source: ModelSourceView;
  readonly #story: StoryView;
  #choice: Choice = OCTAVO_TALES;
  #plan: MemoryPlan | null = null;
  #since: Stats | null = null;
  #telling: Telling | null = null;
  #looking: AbortController | null = null;
  #stop: AbortController | null = null;
  #answering: Promise<void> = Promise.resolve();
  #opening = 0;
  #polledAt = 0;
  #polling = false;

  constructor() {
    const settings = loadSettings();
    this.#sampling = new SamplingView(settings);
    this.#budget = new BudgetSlider(settings.budgetPercent, (bytes) => this.#applyBudget(bytes));
    this.#source = new ModelSourceView(
      (choice) => void this.#look(choice),
      (choice) => void this.open(choice),
      () => void this.open(this.#choice),
    );
    this.#story = new StoryView({
      onBegin: (beginning) => this.#begin(beginning),
      onStop: () => this.#stop?.abort(),
      onFurther: () => this.#further(),
      onRestart: () => void this.#restart(),
    });
  }

  async open(choice: Choice): Promise<void> {
    const opening = ++this.#opening;
    this.#looking?.abort();
    this.#card.hide();
    this.#choice = choice;
    this.#notices.clear();
    this.#stop?.abort();
    this.#library.cancel();
    this.#say(`Loading ${choice.label}.`);
    this.#showNoModel();
    this.#load.begin();
    await this.#answering;
    if (opening !== this.#opening) return;
    try {
      const { model, plan } = await this.#library.open(choice, {
        budgetBytes: (offered) => this.#budget.bytesFor(offered),
        onProgress: (progress) => opening === this.#opening && this.#load.update(progress),
        onStep: (event) => this.#onStep(event),
      });
      await this.#showModel(model, plan);
    } catch (error) {
      if (opening === this.#opening) this.#loadFailed(error);
    } finally {
      if (opening === this.#opening) this.#load.end();
    }
  }

  /** Shows what `choice` is; the model that is open stays open. */
  async #look(choice: Choice): Promise<void> {
    this.#looking?.abort();
    const looking = new AbortController();
    this.#looking = looking;
    this.#notices.clear();
    this.#card.hide();
    this.#load.begin();
    try {
      const inspection = await inspectModel(choice.source, { signal: looking.signal });
      if (looking.signal.aborted) return;
      this.#card.show(choice, inspection);
      this.#say(`${choice.label} can be loaded.`);
    } catch (error) {
      if (this.#looking === looking)
        this.#notices.show(error, this.#library.model ? undefined : this.#otherWay(choice));
    } finally {
      if (this.#looking === looking) this.#load.end();
    }
  }

  #loadWish({ choice, budgetPercent }: LoadWish): void {
    if (budgetPercent !== null) this.#budget.want(budgetPercent);
    void this.open(choice);
  }

  #showNoModel(): void {
    this.#telling = null;
    this.#story.ready = false;
    this.#story.showDraft(false);
    this.#story.setTitle(this.#choice.label);
    this.#plan = null;
    this.#budget.setPlan(null);
    this.#residency.reset([]);
    this.#stats.clear();
    this.#source.describe(this.#choice, null);
    setText(byId("model-name", HTMLElement), this.#choice.label);
  }

  async #showModel(model: Model, plan: MemoryPlan): Promise<void> {
    this.#plan = plan;
    this.#since = await model.stats();
    this.#residency.reset(await model.residency());
    this.#budget.setPlan(plan);
    this.#source.describe(this.#choice, model);
    const adapter = byId("adapter", HTMLElement);
    setText(adapter, adapterName(model.adapter));
    adapter.title = adapterName(model.adapter);
    await this.#poll(model);
    this.#story.ready = true;
    this.#say(`${this.#choice.label} is ready.`);
  }

  #loadFailed(error: unknown): void {
    const choice = this.#choice;
    const cancelled = error instanceof Error && error.name === "AbortError";
    if (cancelled)
      this.#notices.show(new Cancelled(choice.label), { label: "Load it", run: () => void this.open(choice) });
    else this.#notices.show(error, this.#otherWay(choice));
    setText(byId("model-name", HTMLElement), "none");
    this.#story.setTitle("No model");
    this.#say(`${this.#choice.label} was not loaded.`);
  }

  #otherWay(failed: Choice): Remedy {
    const label = failed === OCTAVO_TALES ? "Try again" : `Open ${OCTAVO_TALES.label} instead`;
    return { label, run: () => void this.open(OCTAVO_TALES) };
  }

  #begin(beginning: string): void {
    const model = this.#library.model;
    if (!model || this.#stop) return;
    this.#story.startTelling(beginning);
    this.#answer(model, async () => (this.#telling = await Telling.open(model, beginning)));
  }

  #further(): void {
    const { model } = this.#library;
    const telling = this.#telling;
    if (!model || !telling || this.#stop) return;
    this.#story.resumeTelling();
    this.#answer(model, () => Promise.resolve(telling));
  }

  async #restart(): Promise<void> {
    const telling = this.#telling;
    this.#telling = null;
    this.#story.showDraft(true);
    try {
      await telling?.dispose();
    } catch (error) {
      this.#showError(error);
    }
  }

  #answer(model: Model, open: () => Promise<Telling>): void {
    const stop = new AbortController();
    this.#stop = stop;
    this.#answering = this.#run(model, open, stop.signal).finally(() => {
      this.#stop = null;
    });
  }

  async #run(model: Model, open: () => Promise<Telling>, signal: AbortSignal): Promise<void> {
    const sampling = this.#sampling.value;
    const seed = sampling.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    this.#say("The model is writing.");
    try {
      this.#since = await model.stats();
      const telling = await open();
      const onText = (text: string, tokens: number) => this.#story.showAnswer(text, tokens);
      const ending = await telling.tell({ ...sampling, seed, signal, onText });
      const status = endingText(ending, telling.written, sampling.temperature > 0 ? seed : null);
      this.#endAnswer(status, ending !== "context");
    } catch (error) {
      this.#endAnswer(signal.aborted ? "Stopped." : "The answer broke off.", this.#telling !== null);
      if (!signal.aborted) this.#showError(error);
    }
    this.#residency.rest();
    await this.#refresh(model);
  }

  #endAnswer(status: string, canGoOn: boolean): void {
    this.#story.endTelling(status, canGoOn);
    this.#say(status);
  }

  async #applyBudget(gpuBudgetBytes: number): Promise<boolean> {
    const { model } = this.#library;
    if (!model) return false;
    try {
      this.#plan = await model.setBudget(gpuBudgetBytes);
      this.#budget.setPlan(this.#plan);
      await this.#refresh(model);
      return true;
    } catch (error) {
      this.#showError(error);
      return false;
    }
  }

  #onStep(event: StepEvent): void {
    const { model } = this.#library;
    if (!model) return;
    const open = this.#residency.apply(event);
    if (open) void this.#refresh(model);
    else if (performance.now() - this.#polledAt > POLL_MS) void this.#poll(model);
  }

  /** Snapshot and counters, for when events alone do not tell. */
  async #refresh(model: Model): Promise<void> {
    try {
      const snapshot = await model.residency();
      if (model === this.#library.model) this.#residency.sync(snapshot);
    } catch (error) {
      if (model === this.#library.model) this.#showError(error);
    }
    await this.#poll(model);
  }

  async #poll(model: Model): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    try {
      const stats = await model.stats();
      if (model !== this.#library.model || !this.#plan) return;
      const { residents, experts } = this.#residency;
      this.#stats.update({ stats, since: this.#since ?? stats, plan: this.#plan, residents, experts });
    } catch (error) {
      if (model === this.#library.model) this.#showError(error);
    } finally {
      this.#polling = false;
      this.#polledAt = performance.now();
    }
  }

  #showError(error: unknown): void {
    const lost = error instanceof Error && error.name === "DeviceError";
    const remedy: Remedy = { label: "Load the model again", run: () => void this.open(this.#choice) };
    if (lost) this.#notices.show(error, remedy);
    else this.#notices.show(error);
  }

  #say(status: string): void {
    setText(byId("status", HTMLElement), status);
  }
}

/** The reader called a load off: worth a notice, because the page is now without a model. */
class Cancelled extends Error {
  override name = "Cancelled";

  constructor(label: string) {
    super(`${label} was not loaded.`);
  }
}

function adapterName({ name, vendor, architecture, isFallback }: AdapterSummary): string {
  const shown = name || [vendor, architecture].filter(Boolean).join(" ") || "unnamed";
  return isFallback ? `${shown} (on the CPU)` : shown;
}

function endingText(ending: Ending, tokens: number, seed: number | null): string {
  if (tokens === 0 && ending === "stopped") return "Stopped before the first token";
  const reason = {
    length: "Paused after",
    stopped: "Stopped after",
    story: "The model ended here, after",
    context: "The model's context is full after",
  }[ending];
  return `${reason} ${tokens} tokens${seed === null ? "" : `, seed ${seed}`}`;
}
