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

describe("lfru: use counts that halve every 32 tokens, over (1 + tokens since the last use)^0.75", () => {
  test("often and lately beats once and later", () => {
    const policy = createPolicy("lfru", 2);
    policy.touch(0, 10, 100);
    policy.touch(1, 12, 1);
    // At 13: 100 * 2^(-3/32) / 4^0.75 = 33 against 2^(-1/32) / 2^0.75 = 0.58.
    expect(policy.victim([0, 1], 13)).toBe(1);
    // At 400 the first is at 100 * 2^(-390/32) / 391^0.75 = 2.4e-4, the second at 2^(-388/32) / 389^0.75 = 2.6e-6.
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
    // At 32: 4 / 2 / 33^0.75 = 0.145 against 2^(-1/32) / 2^0.75 = 0.582.
    expect(policy.victim([1, 0], 32)).toBe(0);
    // At 1 it would have been 4 * 2^(-1/32) / 2^0.75 = 2.33; a use yet to come has no age: 1.
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

describe("successor: what followed the chosen before stays", () => {
  /** 0 and 1 take turns, and so do 2 and 3; a lone 4 between the pairs. Steps are single tokens. */
  function taught() {
    const policy = createPolicy("successor", 6);
    const sequence = [0, 1, 0, 1, 0, 1, 0, 1, 4, 2, 3, 2, 3, 2, 3, 2, 3];
    for (const [i, expert] of sequence.entries()) policy.touch(expert, i + 1, 1);
    return { policy, step: sequence.length };
  }

  test("the one that does not follow what is chosen goes, though it was used later", () => {
    const { policy, step } = taught();
    // 3 is the latest. After 0 comes 1 and never 3: 1 is 9 and 8 tokens old, and stays.
    expect(policy.victim([1, 3], step)).toBe(1);
    expect(policy.victim([1, 3], step, [0])).toBe(3);
    expect(policy.victim([1, 3], step, [2])).toBe(1);
  });

  test("by the numbers", () => {
    const policy = createPolicy("successor", 3);
    for (const [i, expert] of [0, 1, 0, 1, 0, 2].entries()) policy.touch(expert, i + 1, 1);
    // Five have a token before them: 1, 0, 1, 0, 2.
    // Frequencies: 0 and 1 2/5, 2 1/5. After 0 (seen 3 times): 1 twice, 2 once.
    // lift(1 | 0) = (2 + 4 * 2/5) / (3 + 4) / (2/5) = 1.286; lift(2 | 0) = (1 + 4/5) / 7 / (1/5) = 1.286.
    // Own at 6: 1 has (2^(-2/32) + 1) * 2^(-2/32) / sqrt(3) = 1.08, 2 has 1.
    expect(policy.victim([1, 2], 6, [0])).toBe(2);
    // lift(1 | 1) = (0 + 1.6) / (2 + 4) / 0.4 = 0.667; lift(2 | 1) = 0.8 / 6 / 0.2 = 0.667: own decides.
    expect(policy.victim([2, 1], 6, [1])).toBe(2);
    policy.touch(2, 7, 1);
    // After 2 comes 2 now: (1 + 4 * 2/6) / 5 / (2/6) = 1.4, and 1: 4 * 2/6 / 5 / (2/6) = 0.8.
    expect(policy.victim([1, 2], 7, [2])).toBe(1);
  });

  test("without what is chosen it goes by use and age", () => {
    const policy = createPolicy("successor", 3);
    policy.touch(0, 1, 1);
    policy.touch(0, 2, 1);
    policy.touch(1, 4, 1);
    // At 8: 0 has (2^(-1/32) + 1) * 2^(-6/32) / sqrt(7) = 0.66, 1 has 2^(-4/32) / sqrt(5) = 0.41.
    expect(policy.victim([0, 1], 8)).toBe(1);
    expect(policy.victim([0, 1, 2], 8)).toBe(2);
  });

  test("prefill chunks teach nobody's succession", () => {
    const policy = createPolicy("successor", 4);
    // Chunks of 16 tokens, each chose 0 to 3; then two single tokens.
    for (const step of [16, 32, 48]) for (let expert = 0; expert < 4; expert++) policy.touch(expert, step, 8);
    policy.touch(0, 49, 1);
    policy.touch(1, 50, 1);
    // 1 after 0 is all that was learned: after 0, 1 is likelier than at large. What was never learned has lift 1.
    expect(policy.victim([2, 1], 50, [0])).toBe(2);
    expect(policy.victim([3, 2], 50, [0])).toBe(3); // equal: the first
  });
});
