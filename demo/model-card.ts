/**
 * What a model is and what it needs, before anything is loaded: a card from the library's catalogue, with the budget to load
 * it at. It shows what `inspectModel` tells; loading is the app's.
 */
import type { CheckpointDescription, ModelInspection } from "../src/index.ts";
import { byId, element, setText } from "./dom.ts";
import { bytes } from "./format.ts";
import type { Choice } from "./model-source.ts";

/** A choice with the budget that the reader picked. */
export interface LoadWish {
  readonly choice: Choice;
  /** Share of all experts that may be on the GPU, in percent; `null` where there are none. */
  readonly budgetPercent: number | null;
}

type Fact = readonly [term: string, text: string, detail: string];

export class ModelCard {
  readonly #root = byId("card", HTMLElement);
  readonly #title = byId("card-title", HTMLElement);
  readonly #form = byId("card-form", HTMLFormElement);
  readonly #load = byId("card-load", HTMLButtonElement);
  #choice: Choice | null = null;
  /** Bytes by the percentages on offer. */
  #budgets: ReadonlyMap<number, number> = new Map();

  constructor(load: (wish: LoadWish) => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const choice = this.#choice;
      const picked = new FormData(this.#form).get("card-budget");
      const budgetPercent = picked === null ? null : Number(picked);
      const budgetBytes = budgetPercent === null ? undefined : this.#budgets.get(budgetPercent);
      this.hide();
      if (choice) load({ choice: budgetBytes === undefined ? choice : { ...choice, budgetBytes }, budgetPercent });
    });
    byId("card-close", HTMLButtonElement).addEventListener("click", () => this.hide());
  }

  show(choice: Choice, inspection: ModelInspection): void {
    const { description, unsupported, source } = inspection;
    this.#choice = choice;
    setText(this.#title, description?.name ?? choice.label);
    setText(byId("card-source", HTMLElement), source);
    byId("card-facts", HTMLElement).replaceChildren(...(description ? factsOf(description) : []).map(tile));
    byId("card-reasons", HTMLElement).replaceChildren(...unsupported.map((reason) => element("li", "", reason)));
    byId("card-unsupported", HTMLElement).hidden = unsupported.length === 0;
    const budgets = byId("card-budgets", HTMLFieldSetElement);
    budgets.hidden = !description?.experts || unsupported.length > 0;
    budgets.disabled = budgets.hidden;
    if (description) this.#fillBudgets(description);
    this.#load.hidden = unsupported.length > 0;
    setText(byId("card-read", HTMLElement), `${bytes(inspection.bytesRead)} read to find this out`);
    this.#root.hidden = false;
    this.#root.scrollIntoView({ block: "nearest" });
    (this.#load.hidden ? byId("card-close", HTMLButtonElement) : this.#load).focus({ preventScroll: true });
  }

  hide(): void {
    this.#root.hidden = true;
    this.#choice = null;
  }

  #fillBudgets({ memory }: CheckpointDescription): void {
    this.#budgets = new Map([
      [1, memory.minBudgetBytes],
      [50, memory.comfortableBudgetBytes],
      [100, memory.fullBudgetBytes],
    ]);
    for (const [percent, amount] of this.#budgets) setText(byId(`card-budget-${percent}`, HTMLElement), bytes(amount));
  }
}

function factsOf(description: CheckpointDescription): Fact[] {
  const { parameters, experts, memory, kv, storage } = description;
  const layers = `${description.numLayers} layers, ${description.numMoeLayers} with experts`;
  const types = storage.slice(0, 2).map(({ dtype, share }) => `${dtype} ${Math.round(100 * share)} %`);
  return [
    ["Family", description.architecture, layers],
    ["Parameters", count(parameters.total), `${count(parameters.active)} for each token`],
    experts
      ? ["Experts a layer", String(experts.perLayer), `${experts.topK} chosen, ${bytes(experts.largestBytes)} each`]
      : ["Experts", "none", "every weight is always used"],
    ["Dense part", bytes(memory.denseBytes), "always on the GPU"],
    ["All experts", bytes(memory.expertBytes), "fetched when asked for"],
    ["KV cache", bytes(kv.bytesPer1000Tokens), "for every 1,000 tokens"],
    ["Context", description.contextLength.toLocaleString("en"), "tokens at most"],
    ["Stored as", description.container === "gguf" ? "GGUF" : "safetensors", types.join(", ")],
  ];
}

function tile([term, text, detail]: Fact): HTMLElement {
  const made = element("div", "tile");
  const value = element("dd");
  value.append(element("strong", "figures", text), element("small", "", detail));
  made.append(element("dt", "", term), value);
  return made;
}

/** `17_226_752` becomes "17.2 M". */
function count(number: number): string {
  const units = ["", " k", " M", " B", " T"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, number)) / 3));
  return unit === 0 ? String(number) : `${(number / 1000 ** unit).toFixed(1)}${units[unit]}`;
}
