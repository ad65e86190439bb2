import { expect, test } from "vitest";
import { growth } from "../../../scripts/heaps.mjs";

const MIB = 2 ** 20;
const samples = (bytesAt: (token: number) => number) =>
  Array.from({ length: 100 }, (_, i) => ({ token: 5 * i, bytes: bytesAt(5 * i) }));

test("what fills in the first quarter and then stands still is flat", () => {
  const { perToken, noise, flat, first, last } = growth(samples((token) => 4 * MIB + Math.min(token, 120) * 10_000));
  expect(flat).toBe(true);
  expect([perToken, noise]).toEqual([0, 0]);
  expect([first, last]).toEqual([4 * MIB, 4 * MIB + 1_200_000]);
});

test("a leak is told from the noise that hides it in two samples", () => {
  const wobble = (token: number) => (((token * 7) % 11) - 5) * 10_000;
  const leaking = growth(samples((token) => 4 * MIB + 1000 * token + wobble(token)));
  expect(leaking.perToken).toBeGreaterThan(900);
  expect(leaking.perToken).toBeLessThan(1100);
  expect(leaking.flat).toBe(false);
  const still = growth(samples((token) => 4 * MIB + wobble(token)));
  expect(Math.abs(still.perToken)).toBeLessThan(60);
  expect(still.noise).toBeGreaterThan(20_000);
  expect(still.flat).toBe(true);
});
