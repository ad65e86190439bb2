/**
 * What a model is and what it needs, before anything is loaded: a card from the library's catalogue, with the budget to load
 * it at. It shows what `inspectModel` tells; loading is the app's.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import type { CheckpointDescription, ModelInspection } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import type { Choice } from "./choice.ts";
import { RunVerdict, useRunAnswer } from "./run-verdict.tsx";
import { percentOf } from "./run-words.ts";

/** A choice with the budget that the reader picked. */
export interface LoadWish {
  readonly choice: Choice;
  /** Share of all experts that may be on the GPU, in percent; `null` where there are none. */
  readonly budgetPercent: number | null;
}

interface Props {
  readonly app: AppState;
  readonly choice: Choice;
  readonly inspection: ModelInspection;
  readonly load: (wish: LoadWish) => void;
  readonly close: () => void;
}

const BUDGETS = [
  [1, "minBudgetBytes", "the least that works, slow"],
  [50, "comfortableBudgetBytes", "half of the experts"],
  [100, "fullBudgetBytes", "every expert stays"],
] as const;

/** A budget on offer: the share of the experts that it is remembered as, its bytes, and what is to be said of it. */
interface Offer {
  readonly percent: number;
  readonly budgetBytes: number;
  readonly note: string;
  readonly suggested?: boolean;
}

export function ModelCard({ app, choice, inspection, load, close }: Props) {
  const { description, unsupported, source } = inspection;
  const { answer, asking } = useRunAnswer(app, choice);
  const [picked, pick] = useState<number | null>(null);
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    first.current?.focus({ preventScroll: true });
    first.current?.closest(".card")?.scrollIntoView({ block: "nearest" });
  }, [inspection]);
  const runs = unsupported.length === 0;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!description?.experts) return load({ choice, budgetPercent: null });
    const { percent, budgetBytes } = offers[chosen] ?? {};
    if (percent === undefined || budgetBytes === undefined) return;
    load({ choice: { ...choice, budgetBytes }, budgetPercent: percent });
  };
  const suggested = answer?.suggestedBudgetBytes ?? null;
  const offers = description ? offersOf(description, suggested) : [];
  const preferred = offers.findIndex((offer) => offer.suggested || (suggested === null && offer.percent === 50));
  const chosen = picked ?? preferred;
  return (
    <section id="card" class="card" aria-labelledby="card-title">
      <div class="card-head">
        <h2 id="card-title">{description?.name ?? choice.label}</h2>
        <p class="hint figures">{source}</p>
      </div>
      <form onSubmit={submit}>
        {description && <Facts description={description} />}
        {!runs && <Reasons reasons={unsupported} />}
        {runs && <RunVerdict answer={answer} asking={asking} />}
        {runs && description?.experts && <Budgets {...{ offers, chosen, pick }} />}
        <div class="actions">
          {runs && (
            <button id="card-load" type="submit" class="primary" ref={first}>
              {answer?.verdict === "does-not-run" ? "Load it all the same" : "Load this model"}
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

/** The budgets that a reader may pick from, small to large; the suggested one is among them where there is one. */
function offersOf({ memory }: CheckpointDescription, suggested: number | null): Offer[] {
  const known: Offer[] = BUDGETS.map(([percent, name, note]) => ({ percent, budgetBytes: memory[name], note }));
  if (suggested === null) return known;
  const same = known.findIndex(({ budgetBytes }) => budgetBytes === suggested);
  if (same >= 0) return known.map((offer, i) => (i === same ? suggestedOffer(offer) : offer));
  const percent = percentOf(memory, suggested);
  const own = suggestedOffer({ percent, budgetBytes: suggested, note: `${percent} % of the experts` });
  return [...known, own].sort((a, b) => a.budgetBytes - b.budgetBytes);
}

function suggestedOffer(offer: Offer): Offer {
  return { ...offer, note: `${offer.note}, suggested`, suggested: true };
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

interface BudgetsProps {
  readonly offers: readonly Offer[];
  readonly chosen: number;
  readonly pick: (index: number) => void;
}

function Budgets({ offers, chosen, pick }: BudgetsProps) {
  return (
    <fieldset id="card-budgets" class="card-budgets">
      <legend>GPU budget to load it at; it can be changed later</legend>
      {offers.map(({ percent, budgetBytes, note }, index) => (
        <label key={budgetBytes}>
          <input
            type="radio"
            name="card-budget"
            value={percent}
            checked={index === chosen}
            onChange={() => pick(index)}
          />
          <strong class="figures">{bytes(budgetBytes)}</strong>
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
