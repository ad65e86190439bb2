/**
 * The GPU budget as a share of all experts. Dragging previews the bytes, letting go applies them; while one change is
 * on its way the newest one waits, and those between are dropped. A refused share goes back to the one in force.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { useStore } from "../use-store.ts";
import { budgetBytes, smallestPercent } from "./budget.ts";

/** @param id of its parts, for a page may have two. */
export function BudgetSlider({ app, id = "budget" }: { app: AppState; id?: string }) {
  const plan = useStore(app.plan);
  const { budgetPercent } = useStore(app.settings);
  const smallest = plan ? smallestPercent(plan) : 1;
  const inForce = Math.max(budgetPercent, smallest);
  const [dragged, drag] = useState<number | null>(null);
  const apply = useRef(new Applier(app));
  const range = useRef<HTMLInputElement>(null);
  const shown = dragged ?? inForce;
  // Preact sets `value` before `min` and `max` may let it stand.
  useEffect(() => {
    if (range.current) range.current.value = String(shown);
  });
  const commit = async (percent: number) => {
    drag(percent);
    if (await apply.current.want(percent)) drag(null);
  };
  const budget = plan ? bytes(budgetBytes(plan, shown)) : "";
  const room = `room for ${plan?.slotsPerLayer} of ${plan?.expertsPerLayer} experts a layer`;
  const detail =
    dragged === null ? `${budget} of GPU memory · ${room}` : `${budget} of GPU memory, applied when you let go`;
  return (
    <form class="budget" onSubmit={(event) => event.preventDefault()}>
      <label for={`${id}-range`}>GPU budget</label>
      <input
        id={`${id}-range`}
        ref={range}
        type="range"
        min={smallest}
        max={100}
        step={1}
        disabled={!plan || plan.expertBytes === 0}
        aria-valuetext={`${shown} percent of the experts`}
        aria-describedby={`${id}-detail`}
        onInput={(event) => drag(event.currentTarget.valueAsNumber)}
        onChange={(event) => void commit(event.currentTarget.valueAsNumber)}
      />
      <output id={`${id}-value`} for={`${id}-range`}>
        {`${shown} % of experts`}
      </output>
      <p id={`${id}-detail`} class="hint">
        {plan ? detail : "The share of all experts that may be on the GPU at once."}
      </p>
    </form>
  );
}

/** Applies shares one at a time, and of those that came meanwhile only the last. */
class Applier {
  readonly #app: AppState;
  #wanted: number | null = null;
  #applying = false;

  constructor(app: AppState) {
    this.#app = app;
  }

  /** @returns `true` once nothing waits any more; `false` at once where another call is at it already. */
  async want(percent: number): Promise<boolean> {
    this.#wanted = percent;
    if (this.#applying) return false;
    this.#applying = true;
    while (this.#wanted !== null) {
      const wanted: number = this.#wanted;
      this.#wanted = null;
      const plan = this.#app.plan.value;
      const taken = plan !== null && (await this.#app.setBudget(budgetBytes(plan, wanted)));
      if (taken) this.#app.settings.change({ budgetPercent: wanted });
    }
    this.#applying = false;
    return true;
  }
}
