/** The draw on the host: held to the sampler's reference, which sorts, and to hand-made cuts; log-probabilities; shaping. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { logprobsOf } from "../../../src/generate/logprobs.ts";
import { drawId, type HostSampling } from "../../../src/generate/sample.ts";
import { LogitShaper, mask } from "../../../src/generate/shape-logits.ts";
import { createRandom } from "../../reference/compare.ts";
import { keptSet, sample } from "../../reference/sample.ts";

const PLAIN: HostSampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 0 };

function draw(logits: ArrayLike<number>, options: Partial<HostSampling>, position = 0): number {
  return drawId(Float64Array.from(logits), new Float64Array(logits.length), { ...PLAIN, ...options }, position);
}

/** Every id that many seeds draw. */
function drawn(logits: readonly number[], options: Partial<HostSampling>): number[] {
  const ids = new Set(Array.from({ length: 400 }, (_, seed) => draw(logits, { ...options, seed })));
  return [...ids].sort((a, b) => a - b);
}

/** Logits with many ties, and some that nothing may draw. */
const logitLists = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: -40, max: 40 }).map((n) => n / 4) },
    { weight: 2, arbitrary: fc.double({ min: -30, max: 30, noNaN: true }) },
  ),
  { minLength: 1, maxLength: 300 },
);
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe("draws the reference's id", () => {
  test("for any logits, cuts, seed and position", () => {
    const cuts = fc.record({
      temperature: fc.constantFrom(0, 0.3, 0.7, 1, 1.8),
      topK: fc.constantFrom(0, 1, 2, 5, 40, 1000),
      topP: fc.constantFrom(0, 0.1, 0.501, 0.903, 1),
    });
    fc.assert(
      fc.property(logitLists, cuts, uint32, uint32, (logits, options, seed, position) => {
        expect(draw(logits, { ...options, seed }, position)).toBe(sample({ logits, ...options, seed, position }));
      }),
      { numRuns: 1500 },
    );
  });

  test("over a vocabulary of 100,000 logits of a kind that models give", () => {
    const logits = normals(100_000, 1, 3);
    for (const cut of [{ topK: 40 }, { topK: 50_000, topP: 0.95 }]) {
      const options = { ...PLAIN, ...cut, seed: 2 };
      expect(draw(logits, options, 7)).toBe(sample({ ...options, logits, position: 7 }));
    }
  });

  test("and the lowest of equals, greedily", () => {
    expect(draw([1, 3, 3, 2], { temperature: 0 })).toBe(1);
    expect(draw([1, 3, 3, 2], { topK: 1 })).toBe(1);
  });
});

describe("keeps", () => {
  test("what is at least minP times as likely as the likeliest", () => {
    const logits = [0.5, 0.25, 0.2, 0.05].map((p) => Math.log(p));
    expect(drawn(logits, {})).toEqual([0, 1, 2, 3]);
    expect(drawn(logits, { minP: 0.39 })).toEqual([0, 1, 2]);
    expect(drawn(logits, { minP: 0.41 })).toEqual([0, 1]);
    expect(drawn(logits, { minP: 1 })).toEqual([0]);
    expect(drawn(logits, { minP: 0.39, topK: 2 })).toEqual([0, 1]);
    // Heat evens probabilities out before the cut: at temperature 2 their roots count.
    expect(drawn(logits, { minP: 0.6, temperature: 2 })).toEqual([0, 1, 2]);
  });

  test("minP of sorted probabilities, for any logits", () => {
    const bounds = fc.constantFrom(0.01, 0.13, 0.57);
    fc.assert(
      fc.property(logitLists, bounds, uint32, (logits, minP, seed) => {
        const likeliest = Math.max(...logits);
        const kept = keptSet({ logits, ...PLAIN }).filter((id) => Math.exp(logits[id]! - likeliest) >= minP);
        const only = logits.map((logit, id) => (kept.includes(id) ? logit : Number.NEGATIVE_INFINITY));
        expect(draw(logits, { minP, seed }, 3)).toBe(sample({ logits: only, ...PLAIN, seed, position: 3 }));
      }),
      { numRuns: 300 },
    );
  });

  test("nothing that is ruled out, whatever the cuts", () => {
    const no = Number.NEGATIVE_INFINITY;
    expect(drawn([no, 1, no, 1], { topK: 3 })).toEqual([1, 3]);
    expect(drawn([no, 1, no, 1], { topP: 1 })).toEqual([1, 3]);
    expect(draw([no, no], {})).toBe(-1);
    expect(draw([no, no], { temperature: 0 })).toBe(-1);
  });
});

describe("log-probabilities", () => {
  test("are those of a softmax that sorts, likeliest first and the lower of equals first", () => {
    const logits = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(logits, fc.integer({ min: 0, max: 20 }), (values, count) => {
        const mass = values.reduce((sum, value) => sum + Math.exp(value), 0);
        const all = values.map((value, id) => ({ id, logprob: value - Math.log(mass) }));
        const { logprob, top } = logprobsOf(Float32Array.from(values), values.length - 1, count);
        expect(logprob).toBeCloseTo(all.at(-1)!.logprob, 9);
        const sorted = all.sort((a, b) => b.logprob - a.logprob || a.id - b.id).slice(0, count);
        expect(top.map(({ id }) => id)).toEqual(sorted.map(({ id }) => id));
        for (const [at, entry] of top.entries()) expect(entry.logprob).toBeCloseTo(sorted[at]!.logprob, 9);
      }),
    );
  });
});

describe("what settings make of logits", () => {
  const settings = {
    logitBias: new Map<number, number>(),
    presencePenalty: 0,
    frequencyPenalty: 0,
    repetitionPenalty: 1,
  };

  test("bias, then repetition, then presence and frequency, each id by what it was", () => {
    const shaper = new LogitShaper(
      { logitBias: new Map([[1, -3]]), presencePenalty: 0.5, frequencyPenalty: 0.25, repetitionPenalty: 2 },
      [0, 1],
    );
    for (const id of [2, 2, 3]) shaper.add(id);
    const scores = new Float64Array(6);
    shaper.shape(Float32Array.from([4, 1, -1, 8, 5, Number.NaN]), scores);
    expect([...scores]).toEqual([
      4 / 2, // in the prompt
      (1 - 3) * 2, // biased below zero, then multiplied
      -1 * 2 - 0.5 - 2 * 0.25, // drawn twice
      8 / 2 - 0.5 - 0.25,
      5,
      Number.NEGATIVE_INFINITY,
    ]);
  });

  test("nothing by default, to the bit", () => {
    const logits = Float32Array.from({ length: 50 }, (_, id) => Math.sin(id) * 9);
    const shaper = new LogitShaper(settings, [1, 2, 3]);
    shaper.add(4);
    const scores = new Float64Array(50);
    shaper.shape(logits, scores);
    expect([...scores]).toEqual([...logits]);
  });

  test("a mask rules out what has no bit", () => {
    const scores = Float64Array.from({ length: 70 }, (_, id) => id);
    mask(scores, Int32Array.of(0b101, -(2 ** 31), 0b100000));
    const left = [...scores.keys()].filter((id) => scores[id]! > Number.NEGATIVE_INFINITY);
    expect(left).toEqual([0, 2, 63, 69]);
  });
});

function normals(count: number, seed: number, spread: number): number[] {
  const random = createRandom(seed, true);
  const [a, b] = [random.randomInts(count, 1, 1e9), random.randomInts(count, 1, 1e9)];
  return Array.from(a, (x, i) => spread * Math.sqrt(-2 * Math.log(x / 1e9)) * Math.cos((2 * Math.PI * b[i]!) / 1e9));
}
