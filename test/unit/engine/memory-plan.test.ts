import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type MemoryNeeds, planMemory } from "../../../src/engine/memory-plan.ts";
import type { MemoryPlan } from "../../../src/engine/types.ts";
import { BudgetError, UsageError } from "../../../src/errors.ts";

/** A model's needs: `layers` of (experts, top-k, slot bytes). */
function needsOf(layers: readonly (readonly [experts: number, topK: number, slotBytes: number])[]): MemoryNeeds {
  return {
    denseBytes: 1000,
    scratchBytes: 200,
    layers: layers.map(([numExperts, topK, slotBytes]) => {
      return { numExperts, topK, geometry: { slotBytes, numBindings: 1, maxSlots: numExperts } };
    }),
  };
}

const layer = fc
  .tuple(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 1e6 }))
  .map(([experts, topK, slotBytes]) => [experts, Math.min(experts, topK), slotBytes] as const);
const needs = fc.array(layer, { minLength: 1, maxLength: 6 }).map(needsOf);
/** A share of the way from the smallest budget to the full one. */
const share = fc.double({ min: 0, max: 1, noNaN: true });

const planned = (plan: MemoryPlan) => plan.denseBytes + plan.scratchBytes + plan.kvBytes + plan.slotBytes;
const at = (model: MemoryNeeds, kv: number, part: number) => {
  const { minBudgetBytes, fullBudgetBytes } = planMemory(model, kv, undefined);
  const budget = Math.floor(minBudgetBytes + part * (fullBudgetBytes - minBudgetBytes));
  return planMemory(model, kv, budget);
};

describe("planMemory", () => {
  test("by hand: two layers, eight experts of 100 bytes, top 2", () => {
    const model = needsOf([
      [8, 2, 100],
      [8, 2, 100],
    ]);
    const plan = planMemory(model, 300, 2500);
    // 1500 fixed; 1000 left are five slots in each of the two layers.
    expect(plan).toEqual({
      budgetBytes: 2500,
      minBudgetBytes: 1900,
      fullBudgetBytes: 3100,
      denseBytes: 1000,
      kvBytes: 300,
      scratchBytes: 200,
      expertBytes: 1600,
      slotBytes: 1000,
      slotsPerLayer: 5,
      expertsPerLayer: 8,
    });
    expect(planMemory(model, 300, 2499).slotsPerLayer).toBe(4);
    expect(planMemory(model, 300, 1900).slotsPerLayer).toBe(2);
    expect(planMemory(model, 300, 1e9).slotsPerLayer).toBe(8);
  });

  test("without a budget: everything, and no more", () => {
    fc.assert(
      fc.property(needs, fc.nat(10_000), (model, kv) => {
        const plan = planMemory(model, kv, undefined);
        expect(planned(plan)).toBe(plan.fullBudgetBytes);
        expect(plan.slotBytes).toBe(plan.expertBytes);
      }),
    );
  });

  test("what is planned is within the budget, and one more slot a layer would not be", () => {
    fc.assert(
      fc.property(needs, fc.nat(10_000), share, (model, kv, part) => {
        const plan = at(model, kv, part);
        expect(planned(plan)).toBeLessThanOrEqual(plan.budgetBytes);
        for (const { topK, geometry } of model.layers) {
          expect(Math.min(plan.slotsPerLayer, geometry.maxSlots)).toBeGreaterThanOrEqual(topK);
        }
        const more = model.layers.reduce((sum, { geometry }) => {
          return sum + Math.min(plan.slotsPerLayer + 1, geometry.maxSlots) * geometry.slotBytes;
        }, planned(plan) - plan.slotBytes);
        expect(more > plan.budgetBytes || more === planned(plan)).toBe(true);
      }),
    );
  });

  test("a larger budget never gives fewer slots, a longer cache never more", () => {
    fc.assert(
      fc.property(needs, share, share, (model, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        expect(at(model, 0, less).slotsPerLayer).toBeLessThanOrEqual(at(model, 0, more).slotsPerLayer);
        const { budgetBytes } = at(model, 5000, less);
        const short = planMemory(model, 0, budgetBytes);
        expect(planMemory(model, 5000, budgetBytes).slotsPerLayer).toBeLessThanOrEqual(short.slotsPerLayer);
      }),
    );
  });

  test("the smallest budget works, a byte less is refused by name of it", () => {
    fc.assert(
      fc.property(needs, fc.nat(10_000), (model, kv) => {
        const { minBudgetBytes } = planMemory(model, kv, undefined);
        expect(planMemory(model, kv, minBudgetBytes).budgetBytes).toBe(minBudgetBytes);
        const refuse = () => planMemory(model, kv, minBudgetBytes - 1);
        expect(refuse).toThrow(BudgetError);
        expect(refuse).toThrow(new RegExp(`\\b${minBudgetBytes}\\b`));
      }),
    );
  });

  test("a model without experts needs no slots", () => {
    const plan = planMemory(needsOf([]), 100, undefined);
    expect(plan).toMatchObject({ minBudgetBytes: 1300, fullBudgetBytes: 1300, slotsPerLayer: 0, expertsPerLayer: 0 });
  });

  test("slots end where the bindings do", () => {
    const model = needsOf([[8, 2, 100]]);
    const [only] = model.layers;
    const bound = { ...model, layers: [{ ...only!, geometry: { ...only!.geometry, maxSlots: 5 } }] };
    const plan = planMemory(bound, 0, undefined);
    expect([plan.slotsPerLayer, plan.slotBytes, plan.expertBytes]).toEqual([5, 500, 800]);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("a budget of %d is a mistake", (budget) => {
    expect(() => planMemory(needsOf([[8, 2, 100]]), 0, budget)).toThrow(UsageError);
  });
});
