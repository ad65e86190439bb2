/** The GPU budget as a share of all experts: what a share is in bytes, and the smallest share that works. */
import type { MemoryPlan } from "../../src/index.ts";

/** Bytes of `percent` of the experts, in `plan`'s model, never less than what works. */
export function budgetBytes(plan: MemoryPlan, percent: number): number {
  const wanted = fixedBytes(plan) + Math.ceil((plan.expertBytes * Math.max(percent, smallestPercent(plan))) / 100);
  return Math.min(Math.max(wanted, plan.minBudgetBytes), plan.fullBudgetBytes);
}

export function smallestPercent(plan: MemoryPlan): number {
  if (plan.expertBytes === 0) return 1;
  const share = (plan.minBudgetBytes - fixedBytes(plan)) / plan.expertBytes;
  return Math.min(100, Math.max(1, Math.ceil(100 * share)));
}

/** What every budget holds beside the experts. */
function fixedBytes(plan: MemoryPlan): number {
  return plan.fullBudgetBytes - plan.expertBytes;
}
