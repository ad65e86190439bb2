import fc from "fast-check";
import { expect, test } from "vitest";
import { groupTokens, tilesOf, usesOf, wavesOf } from "../../../src/engine/group-tokens.ts";

/** A chunk's choices: `topK` different experts a token. */
const chunks = fc
  .record({ tokens: fc.integer({ min: 0, max: 80 }), topK: fc.integer({ min: 1, max: 4 }) })
  .chain(({ tokens, topK }) =>
    fc
      .array(fc.uniqueArray(fc.nat(9), { minLength: topK, maxLength: topK }), { minLength: tokens, maxLength: tokens })
      .map((rows) => rows.flat()),
  );

test("a small chunk by hand", () => {
  const grouped = groupTokens([7, 2, 2, 5, 7, 2]); // three tokens, top 2
  expect([...grouped]).toEqual([
    [2, [1, 2, 5]],
    [5, [3]],
    [7, [0, 4]],
  ]);
  const slotOf = (expert: number) => expert + 100;
  const { tiles, pairs } = tilesOf(grouped, [7, 2], slotOf, 2);
  expect([...pairs]).toEqual([0, 4, 1, 2, 5]);
  expect([...tiles]).toEqual([107, 0, 2, 0, 102, 2, 2, 0, 102, 4, 1, 0]);
});

test("no token, no expert, no tile", () => {
  expect(groupTokens([]).size).toBe(0);
  const { tiles, pairs } = tilesOf(groupTokens([3]), [], (expert) => expert, 32);
  expect([tiles.length, pairs.length]).toEqual([0, 0]);
});

test("every pair is in exactly one group, that of its expert, in order", () => {
  fc.assert(
    fc.property(chunks, (experts) => {
      const grouped = groupTokens(experts);
      expect([...grouped.keys()]).toEqual([...new Set(experts)].sort((a, b) => a - b));
      for (const [expert, pairs] of grouped) {
        expect(pairs).toEqual([...experts.keys()].filter((pair) => experts[pair] === expert));
      }
    }),
  );
});

test("tiles of any waves hold every pair once, of their own expert, no more than a tile's worth", () => {
  fc.assert(
    fc.property(chunks, fc.integer({ min: 1, max: 33 }), fc.integer({ min: 1, max: 5 }), (experts, tileSize, room) => {
      const grouped = groupTokens(experts);
      const order = [...grouped.keys()].reverse();
      const seen: number[] = [];
      for (let first = 0; first < order.length; first += room) {
        const wave = order.slice(first, first + room);
        const { tiles, pairs } = tilesOf(grouped, wave, (expert) => 50 - expert, tileSize);
        for (let i = 0; i < tiles.length; i += 4) {
          const [slot, from, count, zero] = tiles.subarray(i, i + 4) as unknown as [number, number, number, number];
          expect(zero).toBe(0);
          expect(count).toBeGreaterThan(0);
          expect(count).toBeLessThanOrEqual(tileSize);
          const own = pairs.subarray(from, from + count);
          expect(own.length).toBe(count);
          for (const pair of own) expect(experts[pair]).toBe(50 - slot);
          seen.push(...own);
        }
      }
      expect(seen.sort((a, b) => a - b)).toEqual([...experts.keys()]);
    }),
  );
});

test("no more tiles than an expert each and one for every full tile", () => {
  fc.assert(
    fc.property(chunks, fc.integer({ min: 1, max: 33 }), (experts, tileSize) => {
      const grouped = groupTokens(experts);
      const { tiles } = tilesOf(grouped, [...grouped.keys()], (expert) => expert, tileSize);
      // What the scratch buffer has room for.
      expect(tiles.length / 4).toBeLessThanOrEqual(grouped.size + Math.ceil(experts.length / tileSize));
    }),
  );
});

test("a use is counted, and dated by its last token", () => {
  expect([...usesOf(groupTokens([7, 2, 2, 5, 7, 3]), 3, 2)]).toEqual([
    [2, { count: 2, back: 1 }],
    [3, { count: 1, back: 0 }],
    [5, { count: 1, back: 1 }],
    [7, { count: 2, back: 0 }],
  ]);
});

test("waves bring every missing expert once, fit the slots, and end with those of the last tokens", () => {
  fc.assert(
    fc.property(chunks, fc.integer({ min: 4, max: 10 }), fc.uniqueArray(fc.nat(9)), (experts, slots, residents) => {
      const grouped = groupTokens(experts);
      const uses = usesOf(grouped, experts.length, 1);
      const resident = new Set(residents.slice(0, slots));
      const waves = wavesOf(uses, slots, (expert) => resident.has(expert));
      const missing = [...grouped.keys()].filter((expert) => !resident.has(expert));
      expect(waves.flat().sort((a, b) => a - b)).toEqual(missing);
      for (const wave of waves) expect(wave.length > 0 && wave.length <= slots).toBe(true);
      // What is there at the end, if the latest stay: the experts of the last tokens, as many as there are slots.
      const latest = [...new Set([...experts].reverse())].slice(0, slots);
      const there = new Set([...resident, ...(waves.at(-1) ?? [])]);
      expect(latest.filter((expert) => !there.has(expert))).toEqual([]);
    }),
  );
});
