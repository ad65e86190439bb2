import { describe, expect, test } from "vitest";
import type { LedgerBuffer } from "../../../src/gpu/ledger.ts";
import type { Command } from "../../../src/gpu/queue.ts";
import { type Sampling, sample, samplingBytes } from "../../../src/kernels/sample.ts";
import * as reference from "../../reference/sample.ts";
import { CANARY_WORD, normals, useBench, wordsOf } from "./harness.ts";

const bench = useBench();
const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 };
const PLAIN: Sampling = { temperature: 1, topK: 0, topP: 1, seed: 1 };

/** A sampler over these logits: ids of draws at these positions, each one dispatch. */
function sampler(logits: ArrayLike<number>, vocab = logits.length) {
  const uniform = bench.uniform(new Uint8Array(32));
  const token = bench.canaries(4);
  const command = sample(bench.host(), vocab, bench.floats(logits), uniform, token);
  return async (sampling: Sampling, positions: readonly number[]): Promise<number[]> => {
    const results = bench.canaries(positions.length);
    const { queue, pipelines } = bench.gpu;
    await pipelines.settled();
    for (const [i, position] of positions.entries()) {
      queue.write(uniform, 0, samplingBytes(sampling, position));
      queue.submit([command, copyWord(token, results, i)]);
    }
    const [out, last] = await bench.run([], results, token);
    expect([...wordsOf(last!).subarray(1)]).toEqual([CANARY_WORD, CANARY_WORD, CANARY_WORD]);
    return [...wordsOf(out!).subarray(0, positions.length)];
  };
}

function copyWord(from: LedgerBuffer, to: LedgerBuffer, index: number): Command {
  return { kind: "copy", from, fromOffset: 0, to, toOffset: index * 4, bytes: 4 };
}

const range = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i);

describe("greedy", () => {
  test.each([1, 2, 255, 256, 257, 5000])("the largest of %i", async (vocab) => {
    const logits = normals(bench.random, vocab, 3);
    const draw = sampler(logits);
    const expected = [reference.argmax(logits)];
    expect(await draw(GREEDY, [0])).toEqual(expected);
    expect(await draw({ ...PLAIN, topK: 1, seed: 99 }, [5])).toEqual(expected);
  });

  test.each([3, 256, 700])("of equals the lowest id, among %i", async (vocab) => {
    const { random } = bench;
    const levels = Float32Array.from(random.randomInts(vocab, 0, 2), (level) => -level);
    expect(await sampler(levels)(GREEDY, [0])).toEqual([levels.indexOf(Math.max(...levels))]);
    expect(await sampler(new Float32Array(vocab).fill(-7))(GREEDY, [0])).toEqual([0]);
  });

  test("the last id, and very negative logits", async () => {
    const logits = new Float32Array(1001).fill(-3e38);
    logits[1000] = -1e30;
    expect(await sampler(logits)(GREEDY, [0])).toEqual([1000]);
  });

  test("logits behind the vocabulary are not looked at", async () => {
    const logits = Float32Array.of(1, 3, 2, 99, 98);
    expect(await sampler(logits, 3)(GREEDY, [0])).toEqual([1]);
    const ids = await sampler(logits, 3)(PLAIN, range(20));
    expect(Math.max(...ids)).toBeLessThan(3);
  });
});

/**
 * Whether f32 must find the reference's id: the best score leads by more than log's promise (2^-21 absolute, on
 * exponentials of 0.01 and more: 5e-5 in a score), and the kept set does not hang on a mass within 1e-4 of top_p.
 */
function isDecided(input: reference.SampleInput): boolean {
  const leaders = [1 - 1e-4, 1, 1 + 1e-4].map((factor) => {
    const topP = input.topP < 1 ? Math.min(input.topP * factor, 1 - 1e-9) : input.topP;
    const scores = reference.sampleScores({ ...input, topP });
    const id = reference.argmax(scores);
    const lead = scores[id]! - Math.max(...scores.map((score, i) => (i === id ? Number.NEGATIVE_INFINITY : score)));
    return lead > 2e-4 ? id : undefined;
  });
  return leaders[0] !== undefined && leaders.every((id) => id === leaders[0]);
}

describe("drawing agrees with the reference wherever its choice is no matter of rounding", () => {
  test.each<Omit<Sampling, "seed">>([
    { temperature: 1, topK: 0, topP: 1 },
    { temperature: 0.3, topK: 0, topP: 1 },
    { temperature: 3, topK: 0, topP: 1 },
    { temperature: 1, topK: 2, topP: 1 },
    { temperature: 1, topK: 40, topP: 1 },
    { temperature: 1, topK: 5000, topP: 1 }, // more than there are
    { temperature: 0.8, topK: 0, topP: 0.9 },
    { temperature: 1, topK: 0, topP: 0.05 },
    { temperature: 2, topK: 50, topP: 0.5 },
    { temperature: 1, topK: 3, topP: 0.999 },
  ])("temperature $temperature, top-k $topK, top-p $topP", async (settings) => {
    const { random } = bench;
    let [decided, drawn] = [0, 0];
    for (const vocab of [2, 256, 700]) {
      const logits = normals(random, vocab, 3);
      const draw = sampler(logits);
      const sampling = { ...settings, seed: random.int(0, 2 ** 32 - 1) };
      const positions = range(12, random.int(0, 100_000));
      const ids = await draw(sampling, positions);
      for (const [i, position] of positions.entries()) {
        const input = { ...sampling, logits, position };
        drawn += 1;
        if (!isDecided(input)) continue;
        decided += 1;
        expect(ids[i], `seed ${sampling.seed}, position ${position}, vocabulary ${vocab}`).toBe(
          reference.sample(input),
        );
      }
    }
    expect(decided / drawn).toBeGreaterThan(0.8);
  });
});

describe("what may be drawn", () => {
  test("top-k keeps all that equal its last, and nothing below", async () => {
    const logits = Float32Array.of(1, 5, 3, 3, 5, 3, 0);
    const ids = await sampler(logits)({ ...PLAIN, temperature: 50, topK: 3 }, range(150));
    expect([...new Set(ids)].sort()).toEqual([1, 2, 3, 4, 5]);
  });

  test("top-p keeps the shortest run that reaches it, ties with its last included", async () => {
    const logits = Float32Array.from([0.4, 0.2, 0.2, 0.1, 0.1], Math.log);
    const kept = async (topP: number) => {
      const ids = await sampler(logits)({ ...PLAIN, topP, seed: 3 }, range(120));
      return [...new Set(ids)].sort();
    };
    expect(await kept(0.35)).toEqual([0]);
    expect(await kept(0.45)).toEqual([0, 1, 2]);
    expect(await kept(0.85)).toEqual([0, 1, 2, 3, 4]);
  });

  test("top-p 0 is greedy, equals apart", async () => {
    const logits = normals(bench.random, 300);
    const ids = await sampler(logits)({ ...PLAIN, topP: 0 }, range(10));
    expect(ids).toEqual(new Array(10).fill(reference.argmax(logits)));
    const tied = await sampler([1, 2, 2, 0])({ ...PLAIN, topP: 0 }, range(60));
    expect([...new Set(tied)].sort()).toEqual([1, 2]);
  });

  test("top-k comes before top-p: shares are those of what top-k left", async () => {
    const logits = Float32Array.from([0.4, 0.3, 0.2, 0.1], Math.log);
    // 0.4 of 0.7 is 0.57: one id reaches 0.5 only once the others are cut.
    const ids = await sampler(logits)({ ...PLAIN, topK: 2, topP: 0.5 }, range(40));
    expect(new Set(ids)).toEqual(new Set([0]));
  });

  test("logits that overflow any exp still draw, from the largest", async () => {
    const logits = Float32Array.of(-1e30, 1000, 3000, 2999, -3e38);
    const ids = await sampler(logits)({ ...PLAIN, topP: 0.99 }, range(60));
    expect([...new Set(ids)].sort()).toEqual([2, 3]);
  });

  test.each([PLAIN, { ...PLAIN, topK: 7, topP: 0.5 }, { ...PLAIN, topP: 0 }])(
    "a vocabulary of one: %o",
    async (sampling) => {
      expect(await sampler([-12.5])(sampling, [0, 1, 2])).toEqual([0, 0, 0]);
    },
  );
});

describe("randomness", () => {
  test("equal seed and position draw equal ids; another seed or position others", async () => {
    const draw = sampler(new Float32Array(1000));
    const first = await draw(PLAIN, range(20));
    expect(await draw(PLAIN, range(20))).toEqual(first);
    expect((await draw({ ...PLAIN, seed: 2 }, range(20))).filter((id, i) => id === first[i]).length).toBeLessThan(4);
    expect(new Set(first).size).toBeGreaterThan(15);
    expect(await draw(PLAIN, range(10, 10))).toEqual(first.slice(10));
  });

  test("seeds of all 32 bits count", async () => {
    const draw = sampler(new Float32Array(5000));
    const ids = [];
    for (const seed of [0, 1, 2 ** 31, 2 ** 32 - 1]) ids.push(...(await draw({ ...PLAIN, seed }, [0])));
    expect(new Set(ids).size).toBe(4);
    expect(ids).toEqual(
      [0, 1, 2 ** 31, 2 ** 32 - 1].map((seed) => {
        return reference.sample({ ...PLAIN, seed, position: 0, logits: new Float32Array(5000) });
      }),
    );
  });

  test("ids come as often as softmax says", async () => {
    const shares = [0.5, 0.25, 0.15, 0.1];
    const counts = [0, 0, 0, 0];
    const draws = 600;
    const ids = await sampler(shares.map(Math.log))({ ...PLAIN, seed: bench.random.int(0, 2 ** 32 - 1) }, range(draws));
    for (const id of ids) counts[id]! += 1;
    const chiSquare = counts.reduce((sum, count, id) => {
      const expected = shares[id]! * draws;
      return sum + (count - expected) ** 2 / expected;
    }, 0);
    // Three degrees of freedom: one honest run in a million is above 30.7.
    expect(chiSquare).toBeLessThan(30.7);
  });
});
