import fc from "fast-check";
import { expect, test } from "vitest";
import { ABSENT, SlotTable } from "../../../src/pager/slot-table.ts";

test("empty at first; slots come in order and only once", () => {
  const table = new SlotTable(5, 3);
  expect([...table.slots]).toEqual([ABSENT, ABSENT, ABSENT, ABSENT, ABSENT]);
  expect([table.takeFree(), table.takeFree(), table.takeFree(), table.takeFree()]).toEqual([0, 1, 2, undefined]);
});

test("an evicted expert leaves its slot to the next", () => {
  const table = new SlotTable(4, 2);
  table.place(3, table.takeFree()!);
  table.place(0, table.takeFree()!);
  expect([...table.slots]).toEqual([1, ABSENT, ABSENT, 0]);
  expect([...table.resident]).toEqual([3, 0]); // oldest arrival first
  table.place(2, table.evict(3));
  expect([...table.slots]).toEqual([1, ABSENT, 0, ABSENT]);
  expect([...table.resident]).toEqual([0, 2]);
  expect([table.has(3), table.has(2)]).toEqual([false, true]);
});

test("what is not there cannot be evicted", () => {
  const table = new SlotTable(3, 1);
  expect(() => table.evict(0)).toThrow(RangeError);
  expect(() => table.evict(7)).toThrow(RangeError);
  table.place(0, table.takeFree()!);
  table.evict(0);
  expect(() => table.evict(0)).toThrow(RangeError);
});

test("whatever happens, no two experts share a slot and the row says who is resident", () => {
  const requests = fc.array(fc.nat(11), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), requests, (numSlots, experts) => {
      const table = new SlotTable(12, numSlots);
      for (const expert of experts) {
        if (table.has(expert)) continue;
        const oldest = [...table.resident][0];
        table.place(expert, table.takeFree() ?? table.evict(oldest!));
      }
      const taken = [...table.slots].filter((slot) => slot !== ABSENT);
      expect(new Set(taken).size).toBe(taken.length);
      expect(taken.every((slot) => slot < numSlots)).toBe(true);
      for (const [expert, slot] of table.slots.entries()) expect(table.has(expert)).toBe(slot !== ABSENT);
      expect(table.resident.size).toBe(Math.min(numSlots, new Set(experts).size));
    }),
  );
});
