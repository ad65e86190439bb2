/**
 * What a model is and what it needs, before anything is loaded: a card from the library's catalogue, with the budget to load
 * it at. It shows what `inspectModel` tells; loading is the app's.
 */
import { useEffect, useRef } from "preact/hooks";
import type { CheckpointDescription, ModelInspection } from "../../src/index.ts";
import { bytes } from "../format.ts";
import type { Choice } from "./choice.ts";

/** A choice with the budget that the reader picked. */
export interface LoadWish {
  readonly choice: Choice;
  /** Share of all experts that may be on the GPU, in percent; `null` where there are none. */
  readonly budgetPercent: number | null;
}

interface Props {
  readonly choice: Choice;
  readonly inspection: ModelInspection;
  readonly load: (wish: LoadWish) => void;
  readonly close: () => void;
}

const BUDGETS = [
  [1, "minBudgetBytes", "the least that works, slow"],
  [50, "comfortableBudgetBytes", "half of the experts, suggested"],
  [100, "fullBudgetBytes", "every expert stays"],
] as const;

export function ModelCard({ choice, inspection, load, close }: Props) {
  const { description, unsupported, source } = inspection;
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    first.current?.focus({ preventScroll: true });
    first.current?.closest(".card")?.scrollIntoView({ block: "nearest" });
  }, [inspection]);
  const runs = unsupported.length === 0;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const picked = new FormData(event.currentTarget as HTMLFormElement).get("card-budget");
    load(wishOf(choice, description, picked === null ? null : Number(picked)));
  };
  return (
    <section id="card" class="card" aria-labelledby="card-title">
      <div class="card-head">
        <h2 id="card-title">{description?.name ?? choice.label}</h2>
        <p class="hint figures">{source}</p>
      </div>
      <form onSubmit={submit}>
        {description && <Facts description={description} />}
        {!runs && <Reasons reasons={unsupported} />}
        {runs && description?.experts && <Budgets description={description} />}
        <div class="actions">
          {runs && (
            <button id="card-load" type="submit" class="primary" ref={first}>
              Load this model
            </button>
          )}
          <button id="card-close" type="button" ref={runs ? null : first} onClick={close}>
            Close
          </button>
          <span class="hint">{bytes(inspection.bytesRead)} read to find this out</span>
        </div>
      </form>
    </section>
  );
}

function wishOf(choice: Choice, description: CheckpointDescription | null, budgetPercent: number | null): LoadWish {
  const field = BUDGETS.find(([percent]) => percent === budgetPercent)?.[1];
  if (!description || !field) return { choice, budgetPercent };
  return { choice: { ...choice, budgetBytes: description.memory[field] }, budgetPercent };
}

function Reasons({ reasons }: { reasons: readonly string[] }) {
  return (
    <div class="card-unsupported" role="alert">
      <strong>Octavo cannot run this model</strong>
      <ul>
        {reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
    </div>
  );
}

function Budgets({ description }: { description: CheckpointDescription }) {
  return (
    <fieldset id="card-budgets" class="card-budgets">
      <legend>GPU budget to load it at; it can be changed later</legend>
      {BUDGETS.map(([percent, field, note]) => (
        <label key={percent}>
          <input type="radio" name="card-budget" value={percent} defaultChecked={percent === 50} />
          <strong class="figures">{bytes(description.memory[field])}</strong>
          <small>{note}</small>
        </label>
      ))}
    </fieldset>
  );
}

function Facts({ description }: { description: CheckpointDescription }) {
  return (
    <dl id="card-facts" class="tiles">
      {factsOf(description).map(([term, text, detail]) => (
        <div class="tile" key={term}>
          <dt>{term}</dt>
          <dd>
            <strong class="figures">{text}</strong>
            <small>{detail}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}

type Fact = readonly [term: string, text: string, detail: string];

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

/** `17_226_752` becomes "17.2 M". */
function count(number: number): string {
  const units = ["", " k", " M", " B", " T"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, number)) / 3));
  return unit === 0 ? String(number) : `${(number / 1000 ** unit).toFixed(1)}${units[unit]}`;
}
