/**
 * The GPU budget as a share of all experts. Dragging previews the bytes, letting go applies them; while one change is
 * on its way the newest one waits, and those between are dropped. A refused share goes back to the one in force.
 */
import type { MemoryPlan } from "../src/index.ts";
import { byId, setText } from "./dom.ts";
import { bytes } from "./format.ts";
import { saveSettings } from "./settings.ts";

export class BudgetSlider {
  readonly #range = byId("budget-range", HTMLInputElement);
  readonly #value = byId("budget-value", HTMLOutputElement);
  readonly #detail = byId("budget-detail", HTMLElement);
  readonly #apply: (gpuBudgetBytes: number) => Promise<boolean>;
  #plan: MemoryPlan | null = null;
  #wanted: number;
  #inForce: number;
  #applying = false;
  #waiting = false;

  constructor(percent: number, apply: (gpuBudgetBytes: number) => Promise<boolean>) {
    this.#wanted = percent;
    this.#inForce = percent;
    this.#apply = apply;
    this.#range.value = String(percent);
    byId("budget", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    this.#range.addEventListener("input", () => this.#preview());
    this.#range.addEventListener("change", () => void this.#commit());
  }

  /** The share for the next model. */
  want(percent: number): void {
    this.#wanted = percent;
    this.#inForce = percent;
  }

  /** The share in force or asked for, as bytes of `plan`'s model, never below what works. */
  bytesFor(plan: MemoryPlan): number {
    return budgetBytes(plan, Math.max(this.#wanted, smallestPercent(plan)));
  }

  /** Takes the limits of a loaded model, and what is in force now; `null` when there is no model. */
  setPlan(plan: MemoryPlan | null): void {
    this.#plan = plan;
    this.#range.disabled = !plan || plan.expertBytes === 0;
    if (!plan) return;
    this.#range.min = String(smallestPercent(plan));
    if (!this.#waiting) this.#range.value = String(Math.max(this.#wanted, smallestPercent(plan)));
    this.#preview();
  }

  #preview(): void {
    const plan = this.#plan;
    if (!plan) return;
    const percent = this.#range.valueAsNumber;
    setText(this.#value, `${percent} % of experts`);
    this.#range.setAttribute("aria-valuetext", `${percent} percent of the experts`);
    const budget = budgetBytes(plan, percent);
    const asked = percent !== Math.max(this.#inForce, smallestPercent(plan));
    const slots = asked ? "" : ` · room for ${plan.slotsPerLayer} of ${plan.expertsPerLayer} experts a layer`;
    setText(this.#detail, `${bytes(budget)} of GPU memory${asked ? ", applied when you let go" : slots}`);
  }

  async #commit(): Promise<void> {
    this.#wanted = this.#range.valueAsNumber;
    this.#waiting = true;
    if (this.#applying) return;
    this.#applying = true;
    while (this.#waiting && this.#plan) {
      this.#waiting = false;
      const percent = this.#wanted;
      const taken = await this.#apply(this.bytesFor(this.#plan));
      if (taken) this.#inForce = percent;
      if (!this.#waiting) this.#wanted = this.#inForce;
    }
    saveSettings({ budgetPercent: this.#inForce });
    this.setPlan(this.#plan);
    this.#applying = false;
  }
}

/** What every budget holds beside the experts. */
function fixedBytes(plan: MemoryPlan): number {
  return plan.fullBudgetBytes - plan.expertBytes;
}

function budgetBytes(plan: MemoryPlan, percent: number): number {
  const wanted = fixedBytes(plan) + Math.ceil((plan.expertBytes * percent) / 100);
  return Math.min(Math.max(wanted, plan.minBudgetBytes), plan.fullBudgetBytes);
}

function smallestPercent(plan: MemoryPlan): number {
  if (plan.expertBytes === 0) return 1;
  const share = (plan.minBudgetBytes - fixedBytes(plan)) / plan.expertBytes;
  return Math.min(100, Math.max(1, Math.ceil(100 * share)));
}
