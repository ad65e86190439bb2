/** The sampler's reference: its hash, the kept sets by hand, and the distribution of its draws against softmax. */
import { describe, expect, test } from "vitest";
import { createRandom } from "../../reference/compare.ts";
import { argmax, gumbel, hash, keptSet, pcg, sample, sampleScores, uniform } from "../../reference/sample.ts";
import { softmax } from "../../reference/softmax.ts";

const ALL = { temperature: 1, topK: 0, topP: 1, seed: 0, position: 0 };
/** Logits whose probabilities at temperature 1 are these. */
const logitsOf = (...probabilities: number[]) => probabilities.map((p) => Math.log(p));

describe("hash", () => {
  test("pcg agrees with its definition in exact integers", () => {
    const exact = (x: bigint): bigint => {
      const word32 = (n: bigint) => BigInt.asUintN(32, n);
      const state = word32(x * 747796405n + 2891336453n);
      const word = word32(((state >> ((state >> 28n) + 4n)) ^ state) * 277803737n);
      return (word >> 22n) ^ word;
    };
    const random = createRandom(3, true);
    for (const x of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, ...random.randomInts(2000, 0, 0xffffffff)]) {
      expect(pcg(x)).toBe(Number(exact(BigInt(x))));
    }
    expect(hash(1, 2, 3)).toBe(pcg((3 ^ pcg((2 ^ pcg(1)) >>> 0)) >>> 0));
  });

  test("uniform stays strictly inside (0, 1), so noise is finite", () => {
    expect(uniform(0)).toBe(2 ** -24);
    expect(uniform(0xffffffff)).toBe(1 - 2 ** -24);
    for (const hashed of [0, 0xffffffff]) expect(Number.isFinite(-Math.log(-Math.log(uniform(hashed))))).toBe(true);
  });

  test("mean and variance of the noise are Gumbel's", () => {
    const count = 100_000;
    const noise = Array.from({ length: count }, (_, id) => gumbel(5, 6, id));
    const mean = noise.reduce((a, b) => a + b, 0) / count;
    const variance = noise.reduce((sum, g) => sum + (g - mean) ** 2, 0) / count;
    expect(Math.abs(mean - 0.5772156649)).toBeLessThan(0.02); // five standard errors
    expect(Math.abs(variance - Math.PI ** 2 / 6)).toBeLessThan(0.06);
  });
});

describe("kept set", () => {
  const kept = (logits: number[], options: Partial<typeof ALL>) => keptSet({ ...ALL, ...options, logits });

  test("topK keeps the largest, with all ties of the last", () => {
    expect(kept([1, 5, 3, 4], { topK: 2 })).toEqual([1, 3]);
    expect(kept([3, 5, 3, 4, 3], { topK: 3 })).toEqual([0, 1, 2, 3, 4]);
    expect(kept([1, 5, 3, 4], { topK: 9 })).toEqual([0, 1, 2, 3]);
    expect(kept([1, 5, 3, 4], {})).toEqual([0, 1, 2, 3]);
  });

  test("topP keeps the shortest run that reaches it, with all ties of the last", () => {
    const logits = logitsOf(0.1, 0.4, 0.2, 0.3);
    expect(kept(logits, { topP: 0.39 })).toEqual([1]);
    expect(kept(logits, { topP: 0.41 })).toEqual([1, 3]);
    expect(kept(logits, { topP: 0.75 })).toEqual([1, 2, 3]);
    expect(kept(logits, { topP: 0.95 })).toEqual([0, 1, 2, 3]);
    expect(kept(logits, { topP: 0 })).toEqual([1]);
    expect(kept([2, 2, 2, 2], { topP: 0.3 })).toEqual([0, 1, 2, 3]);
    expect(kept([0, 2, 1, 1], { topP: 0.7 })).toEqual([1, 2, 3]);
  });

  test("topP measures within the topK set, at the temperature", () => {
    const logits = logitsOf(0.4, 0.2, 0.2, 0.1, 0.1);
    expect(kept(logits, { topK: 1, topP: 0.9 })).toEqual([0]); // 0.4 of 0.4
    expect(kept(logitsOf(0.4, 0.3, 0.2, 0.1), { topK: 2, topP: 0.55 })).toEqual([0]); // 4/7
    expect(kept(logitsOf(0.4, 0.3, 0.2, 0.1), { topP: 0.55 })).toEqual([0, 1]);
    expect(kept(logitsOf(0.4, 0.3, 0.2, 0.1), { topP: 0.55, temperature: 0.25 })).toEqual([0]); // 256 of 354
  });

  test("only kept ids have a score", () => {
    const scores = sampleScores({ ...ALL, logits: [1, 5, 3, 4], topK: 2 });
    expect([...scores].map(Number.isFinite)).toEqual([false, true, false, true]);
  });
});

describe("sample", () => {
  test("temperature 0 and topK 1 are argmax, the lowest id of equals", () => {
    const logits = [1, 7, 3, 7];
    expect(argmax(logits)).toBe(1);
    for (let seed = 0; seed < 50; seed++) {
      expect(sample({ ...ALL, logits, temperature: 0, seed })).toBe(1);
      expect(sample({ ...ALL, logits, topK: 1, seed })).toBe(1);
    }
  });

  test("a draw repeats, and changes with seed and position", () => {
    const logits = new Float64Array(1000);
    const draw = (seed: number, position: number) => sample({ ...ALL, logits, seed, position });
    expect(draw(1, 2)).toBe(draw(1, 2));
    expect(new Set(Array.from({ length: 50 }, (_, i) => draw(i, 0))).size).toBeGreaterThan(40);
    expect(new Set(Array.from({ length: 50 }, (_, i) => draw(0, i))).size).toBeGreaterThan(40);
  });

  /** Σ (observed - expected)² / expected over ids that can be drawn; others must never be. */
  function chiSquare(counts: readonly number[], probabilities: ArrayLike<number>, draws: number): number {
    return counts.reduce((sum, count, id) => {
      const expected = probabilities[id]! * draws;
      if (expected === 0) expect(count).toBe(0);
      return expected === 0 ? sum : sum + (count - expected) ** 2 / expected;
    }, 0);
  }

  const logits = [0.3, -1.2, 2, 1.1, 0.9, -0.4, 1.7, 0];
  test.each([
    ["softmax", {}, softmax(logits)],
    ["temperature 0.6", { temperature: 0.6 }, softmax(logits.map((z) => z / 0.6))],
    ["topK 3", { topK: 3 }, softmax(logits.map((z) => (z >= 1.1 ? z : -Infinity)))],
    ["topP 0.5", { topP: 0.5 }, softmax(logits.map((z) => (z >= 1.7 ? z : -Infinity)))],
  ] as const)("draws follow %s, over seeds and over positions", (_, options, probabilities) => {
    const draws = 40_000;
    for (const axis of ["seed", "position"] as const) {
      const counts = new Array<number>(logits.length).fill(0);
      for (let i = 0; i < draws; i++) counts[sample({ ...ALL, ...options, logits, [axis]: i })]!++;
      expect(chiSquare(counts, probabilities, draws)).toBeLessThan(29.9); // 7 degrees of freedom: 1 in 10 000
    }
  });
});
