import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BudgetError } from "../../../src/errors.ts";
import { Slabs, slabGeometry } from "../../../src/pager/slabs.ts";
import { fakeGpu } from "../gpu/fake-gpu.ts";

describe("geometry: as few bindings as hold all experts", () => {
  test.each([
    // experts, bytes a slot, binding bytes -> bindings, slots
    [8, 100, 800, 1, 8],
    [8, 100, 799, 2, 8],
    [8, 100, 400, 2, 8],
    [8, 100, 399, 4, 8],
    [8, 100, 200, 4, 8],
    [8, 100, 199, 4, 4], // one slot a binding
    [1, 100, 100, 1, 1],
    [100, 16, 1 << 20, 1, 100],
  ] as const)("%i experts of %i bytes, bindings of %i", (numExperts, slotBytes, binding, numBindings, maxSlots) => {
    const geometry = slabGeometry(slotBytes, numExperts, 2 > numExperts ? 1 : 2, binding);
    expect(geometry).toEqual({ slotBytes, numBindings, maxSlots });
  });

  test("refused when the chosen experts of one token cannot be bound together, with the figures", () => {
    expect(slabGeometry(100, 8, 4, 199).maxSlots).toBe(4);
    expect(() => slabGeometry(100, 8, 5, 199)).toThrow(BudgetError);
    expect(() => slabGeometry(100, 8, 5, 199)).toThrow(/100 bytes.* 5 .*4 slabs of 199 bytes/s);
    expect(() => slabGeometry(1000, 8, 1, 999)).toThrow(BudgetError);
  });
});

describe("slabs", () => {
  test("every slot has a place of its own inside a buffer", () => {
    const bindings = fc.constantFrom(1 as const, 2 as const, 4 as const);
    fc.assert(
      fc.property(bindings, fc.integer({ min: 1, max: 40 }), (numBindings, numSlots) => {
        const { ledger } = fakeGpu();
        const slabs = new Slabs(ledger, { slotBytes: 48, numBindings, maxSlots: 40 }, numSlots, "layer 0");
        expect(slabs.bindings).toHaveLength(numBindings);
        const places = Array.from({ length: numSlots }, (_, slot) => {
          const { buffer, offset } = slabs.locate(slot);
          expect(offset + 48).toBeLessThanOrEqual(buffer.bytes);
          // The kernels find the same place: binding slot / slotsPerSlab, slot % slotsPerSlab of it.
          expect(slabs.bindings[Math.floor(slot / slabs.slotsPerSlab)]).toBe(buffer);
          expect(offset).toBe((slot % slabs.slotsPerSlab) * 48);
          return `${buffer.label} ${offset}`;
        });
        expect(new Set(places).size).toBe(numSlots);
        expect(ledger.byOwner()).toEqual({ slots: numSlots * 48 });
        expect(() => slabs.locate(numSlots + slabs.slotsPerSlab)).toThrow(RangeError);
        slabs.destroy();
        expect(ledger.byOwner()).toEqual({});
      }),
    );
  });

  test("fewer buffers than bindings: the last is bound again", () => {
    const { ledger } = fakeGpu();
    const geometry = { slotBytes: 16, numBindings: 4 as const, maxSlots: 8 };
    const slabs = new Slabs(ledger, geometry, 5, "layer 3"); // 2 + 2 + 1
    const [a, b, c, d] = slabs.bindings;
    expect([a, b, c].map((buffer) => buffer?.bytes)).toEqual([32, 32, 16]);
    expect(d).toBe(c);
    expect(new Slabs(ledger, geometry, 1, "layer 4").bindings).toHaveLength(4);
  });
});
