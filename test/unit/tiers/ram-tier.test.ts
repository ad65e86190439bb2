/** The RAM tier over reads that are counted: what it holds, what it drops, and that its books are right. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RamTier } from "../../../src/tiers/ram-tier.ts";

const RECORD_BYTES = 64;
const demand = { priority: "demand" } as const;

function contentOf(layer: number, expert: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: RECORD_BYTES }, (_, i) => layer * 31 + expert * 7 + i);
}

function setUp(records: number) {
  const below: string[] = [];
  const ram = new RamTier(async (layer, expert) => {
    below.push(`${layer}:${expert}`);
    return contentOf(layer, expert);
  }, records * RECORD_BYTES);
  return { ram, below };
}

describe("memory that nobody has any more", () => {
  test("is given back when the last reader is done and the tier has dropped the record, whichever comes last", async () => {
    const { ram } = setUp(1);
    const [first, again] = [await ram.read(0, 0, demand), await ram.read(0, 0, demand)];
    const other = await ram.read(0, 1, demand); // 0 leaves, in the hands of two readers
    ram.done(first);
    expect(first).toEqual(contentOf(0, 0));
    ram.done(again);
    expect(first.length).toBe(0);
    ram.done(other);
    expect(other).toEqual(contentOf(0, 1)); // held
    await ram.read(0, 2, demand);
    expect(other.length).toBe(0);
  });

  test("is given back at once where nothing is held", async () => {
    const { ram } = setUp(0);
    const bytes = await ram.read(0, 0, demand);
    expect(bytes).toEqual(contentOf(0, 0));
    ram.done(bytes);
    expect(bytes.length).toBe(0);
  });

  test("is left to a reader who says nothing", async () => {
    const { ram } = setUp(1);
    const bytes = await ram.read(0, 0, demand);
    ram.done(await ram.read(0, 1, demand));
    ram.clear();
    expect(ram.counts.ramHeldBytes).toBe(0);
    expect(bytes).toEqual(contentOf(0, 0));
  });
});

describe("the RAM tier", () => {
  test("answers what it read before, and counts it", async () => {
    const { ram, below } = setUp(2);
    await ram.read(1, 5, demand);
    expect(ram.counts).toEqual({ ramHits: 0, ramBytes: 0, ramHeldBytes: RECORD_BYTES });
    expect(await ram.read(1, 5, demand)).toEqual(contentOf(1, 5));
    expect(below).toEqual(["1:5"]);
    expect(ram.counts).toEqual({ ramHits: 1, ramBytes: RECORD_BYTES, ramHeldBytes: RECORD_BYTES });
    expect(ram.heldOf(1)).toEqual([5]);
    expect(ram.heldOf(5)).toEqual([]);
  });

  test("tells the same expert of different layers apart", async () => {
    const { ram } = setUp(4);
    expect(await ram.read(1, 2, demand)).toEqual(contentOf(1, 2));
    expect(await ram.read(2, 2, demand)).toEqual(contentOf(2, 2));
    expect(await ram.read(1, 2, demand)).toEqual(contentOf(1, 2));
  });

  test("keeps what is read often over what was read once", async () => {
    const { ram, below } = setUp(2);
    for (let i = 0; i < 4; i++) await ram.read(0, 0, demand);
    await ram.read(0, 1, demand);
    await ram.read(0, 2, demand); // 1 leaves
    await ram.read(0, 0, demand);
    expect(below).toEqual(["0:0", "0:1", "0:2"]);
    await ram.read(0, 1, demand);
    expect(below.at(-1)).toBe("0:1");
  });

  test("forgets in the end what was popular long ago", async () => {
    const { ram } = setUp(2);
    for (let i = 0; i < 20; i++) await ram.read(0, 0, demand);
    for (let i = 0; i < 200; i++) await ram.read(0, 1 + (i % 2), demand);
    expect(ram.heldOf(0).sort()).toEqual([1, 2]);
  });

  test("holds nothing without a budget, nor a record larger than it", async () => {
    const { ram, below } = setUp(0.5);
    await ram.read(0, 0, demand);
    await ram.read(0, 0, demand);
    expect(below).toHaveLength(2);
    expect(ram.counts).toEqual({ ramHits: 0, ramBytes: 0, ramHeldBytes: 0 });
  });

  test("keeps nothing of a failed read, and passes priority and signal on", async () => {
    const { signal } = new AbortController();
    const seen: unknown[] = [];
    let fails = true;
    const ram = new RamTier(async (_layer, _expert, options) => {
      seen.push(options);
      if (fails) throw new Error("no bytes");
      return contentOf(0, 0);
    }, 1000);
    await expect(ram.read(0, 0, { signal, priority: "guess" })).rejects.toThrow("no bytes");
    fails = false;
    expect(await ram.read(0, 0, { signal, priority: "demand" })).toEqual(contentOf(0, 0));
    expect(seen).toEqual([
      { signal, priority: "guess" },
      { signal, priority: "demand" },
    ]);
    await expect(ram.read(0, 0, { signal: AbortSignal.abort(), priority: "demand" })).rejects.toThrow(/abort/i);
  });

  test("never exceeds its budget and always answers the right bytes, whatever is read", async () => {
    const reads = fc.array(fc.tuple(fc.nat(2), fc.nat(9)), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(fc.nat(8), reads, async (records, list) => {
        const { ram, below } = setUp(records);
        for (const [layer, expert] of list) {
          expect(await ram.read(layer, expert, demand)).toEqual(contentOf(layer, expert));
          const held = [0, 1, 2].flatMap((each) => ram.heldOf(each));
          expect(held.length).toBeLessThanOrEqual(records);
          expect(ram.counts.ramHeldBytes).toBe(held.length * RECORD_BYTES);
        }
        expect(ram.counts.ramHits + below.length).toBe(list.length);
        ram.clear();
        expect(ram.counts.ramHeldBytes).toBe(0);
      }),
    );
  });
});
