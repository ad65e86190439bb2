/** Eviction policies against sequences worked out by hand. */
import { describe, expect, test } from "vitest";
import { createPolicy } from "../../../src/pager/policy.ts";

describe("lru: the longest unused goes", () => {
  test("in order of last use, whatever the counts", () => {
    const policy = createPolicy("lru", 4);
    policy.touch(0, 1, 100);
    policy.touch(1, 2, 1);
    policy.touch(2, 3, 1);
    expect(policy.victim([0, 1, 2], 4)).toBe(0);
    policy.touch(0, 4, 1);
    expect(policy.victim([0, 1, 2], 5)).toBe(1);
    expect(policy.victim([2, 0], 5)).toBe(2);
  });

  test("the never used go before the used, the first of equals first", () => {
    const policy = createPolicy("lru", 4);
    policy.touch(2, 0, 1);
    expect(policy.victim([2, 3, 1], 1)).toBe(3);
    expect(policy.victim([1, 3, 2], 1)).toBe(1);
    policy.touch(0, 0, 5);
    expect(policy.victim([2, 0], 1)).toBe(2);
  });

  test("a whole sequence with three slots", () => {
    const policy = createPolicy("lru", 6);
    const resident = new Set<number>();
    const evicted: number[] = [];
    for (const [step, expert] of [0, 1, 2, 0, 3, 1, 4, 4, 0, 5].entries()) {
      if (!resident.has(expert) && resident.size === 3) {
        const victim = policy.victim([...resident], step);
        evicted.push(victim);
        resident.delete(victim);
      }
      resident.add(expert);
      policy.touch(expert, step, 1);
    }
    // 0 1 2 | 3 for 1 (0 was used again) | 1 for 2 | 4 for 0 | 0 for 3 | 5 for 1
    expect(evicted).toEqual([1, 2, 0, 3, 1]);
  });
});

describe("lfru: use counts that halve every 32 tokens, over the tokens since the last use", () => {
  test("often and lately beats once and later", () => {
    const policy = createPolicy("lfru", 2);
    policy.touch(0, 10, 100);
    policy.touch(1, 12, 1);
    // At 13: 100 * 2^(-3/32) / 4 = 23.4 against 1 * 2^(-1/32) / 2 = 0.49.
    expect(policy.victim([0, 1], 13)).toBe(1);
    // At 400 the first is at 100 * 2^(-390/32) / 391 = 5.5e-5, the second at 2^(-388/32) / 389 = 5.8e-7.
    expect(policy.victim([0, 1], 400)).toBe(1);
  });

  test("a count decays: 8 uses are 4 after 32 tokens", () => {
    const victimsAfter = (uses: number) => {
      const policy = createPolicy("lfru", 2);
      policy.touch(0, 0, 8);
      policy.touch(0, 32, 1); // 8 / 2 + 1 = 5
      policy.touch(1, 32, uses);
      return [policy.victim([0, 1], 40), policy.victim([1, 0], 40)];
    };
    expect(victimsAfter(4)).toEqual([1, 1]);
    expect(victimsAfter(5)).toEqual([0, 1]); // equal: the first of the candidates
    expect(victimsAfter(6)).toEqual([0, 0]);
  });

  test("old fame fades: 4 uses long ago lose to 1 just now", () => {
    const policy = createPolicy("lfru", 2);
    policy.touch(0, 0, 4);
    policy.touch(1, 31, 1);
    // At 32: 4 / 2 / 33 = 0.061 against 2^(-1/32) / 2 = 0.489.
    expect(policy.victim([1, 0], 32)).toBe(0);
    // At 1 it would have been 4 * 2^(-1/32) / 2 = 1.96 against nothing.
    expect(policy.victim([0, 1], 1)).toBe(1);
  });

  test("the never used go first", () => {
    const policy = createPolicy("lfru", 3);
    policy.touch(0, 5, 1);
    policy.touch(2, 900, 1);
    expect(policy.victim([0, 1, 2], 1000)).toBe(1);
  });

  test("counts stay finite and ordered over a long run", () => {
    const policy = createPolicy("lfru", 3);
    for (let step = 0; step < 100_000; step++) policy.touch(step % 10 === 0 ? 0 : 1, step, 1);
    expect(policy.victim([1, 0], 100_000)).toBe(0);
    expect(policy.victim([1, 0], 10_000_000)).toBeGreaterThanOrEqual(0); // everything has decayed to nothing
  });
});
