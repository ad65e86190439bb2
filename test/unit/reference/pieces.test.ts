/** Properties and hand-made cases of the single functions: what must hold whatever the numbers are. */
import { describe, expect, test } from "vitest";
import { attention, attentionDecode, prepareHeads } from "../../reference/attention.ts";
import { assertClose, createRandom, maxAbs, nmse } from "../../reference/compare.ts";
import { embed } from "../../reference/embed.ts";
import { combine, expert, experts } from "../../reference/experts.ts";
import { matmul } from "../../reference/matmul.ts";
import { matvec } from "../../reference/matvec.ts";
import { residualNorm, rmsNorm } from "../../reference/norm.ts";
import { rope } from "../../reference/rope.ts";
import { select } from "../../reference/router.ts";
import { softmax } from "../../reference/softmax.ts";
import { swiglu } from "../../reference/swiglu.ts";

/** Float64 sums in another order. */
const ROUNDING = 1e-26;
const random = createRandom(1, true);

describe("linear pieces", () => {
  test("embed picks rows", () => {
    expect([...embed([1, 2, 3, 4, 5, 6], [2, 0, 2], 2)]).toEqual([5, 6, 1, 2, 5, 6]);
  });

  test("matvec and matmul by hand", () => {
    expect([...matvec([1, 2], [1, 0, 0, 1, 3, -1])]).toEqual([1, 2, 1]);
    expect([...matmul([1, 2, 0, 1], [1, 0, 0, 1, 3, -1], 2)]).toEqual([1, 2, 1, 0, 1, -1]);
    expect(matmul([], [1, 2], 2)).toHaveLength(0);
  });
});

describe("norm", () => {
  test("rows come out with mean square 1, whatever their scale", () => {
    const x = random.randomFloats(3 * 50, -7, 7);
    const out = rmsNorm(x, new Float64Array(50).fill(1), 0);
    for (const row of [0, 1, 2]) {
      const squares = out.slice(row * 50, row * 50 + 50).reduce((sum, v) => sum + v * v, 0);
      expect(squares / 50).toBeCloseTo(1, 12);
    }
    assertClose(
      rmsNorm(
        x.map((v) => v * 8),
        new Float64Array(50).fill(1),
        0,
      ),
      out,
      ROUNDING,
    );
  });

  test("by hand, epsilon under the root", () => {
    assertClose(rmsNorm([3, 4], [1, 2], 12.5), [3 / 5, 8 / 5], ROUNDING);
    expect([...rmsNorm([0, 0], [1, 1], 1e-6)]).toEqual([0, 0]);
  });

  test("residualNorm with and without y and its gain", () => {
    const inputGain = [1, 1];
    expect([...residualNorm({ x: [1, 7], inputGain, eps: 0 }).x]).toEqual([1, 7]);
    expect([...residualNorm({ x: [1, 3], y: [2, 1], inputGain, eps: 0 }).x]).toEqual([3, 4]);
    const { x, h } = residualNorm({ x: [1, 1], y: [-5, 5], outputGain: [2, 3], inputGain: [2, 1], eps: 0 });
    expect([...x]).toEqual([-1, 4]);
    assertClose(h, [-2 / Math.sqrt(8.5), 4 / Math.sqrt(8.5)], ROUNDING);
  });
});

describe("rope", () => {
  const norm = (x: ArrayLike<number>) => Math.hypot(...Array.from(x));
  const turn = (x: ArrayLike<number>, pos: number) => rope({ x, headDim: 20, positions: [pos], theta: 10_000 });
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, v, i) => sum + v * b[i]!, 0);

  test("position 0 changes nothing, and no position changes a norm", () => {
    const x = random.randomFloats(40);
    expect([...turn(x, 0)]).toEqual([...x]);
    for (const pos of [1, 17, 511, 100_000]) expect(norm(turn(x, pos))).toBeCloseTo(norm(x), 12);
  });

  test("dot products depend on the distance alone", () => {
    const [q, k] = [random.randomFloats(20), random.randomFloats(20)];
    expect(dot(turn(q, 1000), turn(k, 993))).toBeCloseTo(dot(turn(q, 7), turn(k, 0)), 10);
  });

  test("pairs are j and j + d/2, angle pos · theta^(-2j/d)", () => {
    const out = rope({ x: [1, 0, 0, 0, 0, 1, 0, 0], headDim: 4, positions: [3, 5], theta: 100 });
    assertClose(out, [Math.cos(3), 0, Math.sin(3), 0, 0, Math.cos(0.5), 0, Math.sin(0.5)], ROUNDING);
  });
});

describe("attention", () => {
  const heads = { numHeads: 6, numKvHeads: 2, headDim: 8 };
  const kvWidth = heads.numKvHeads * heads.headDim;
  const q = random.randomFloats(6 * 8, -3, 3);
  const k = random.randomFloats(12 * kvWidth, -3, 3);
  const v = random.randomFloats(12 * kvWidth);
  const at = (pos: number, window: number | null, keys = k, values = v) =>
    attention({ ...heads, q, k: keys, v: values, positions: [pos], window });
  const changed = (x: Float64Array, row: number) => x.map((e, i) => (Math.floor(i / kvWidth) === row ? 99 : e));

  test("a window of one is the own value, per KV head", () => {
    const out = at(9, 1);
    for (let head = 0; head < 6; head++) {
      const value = 9 * kvWidth + Math.floor(head / 3) * 8;
      assertClose(out.slice(head * 8, head * 8 + 8), v.slice(value, value + 8), ROUNDING);
    }
  });

  test("window edges: pos - window is out, pos - window + 1 is in, the future is out", () => {
    const out = at(9, 4);
    expect(at(9, 4, changed(k, 5), changed(v, 5))).toEqual(out);
    expect(maxAbs(at(9, 4, k, changed(v, 6)), out)).toBeGreaterThan(0);
    expect(at(9, 4, changed(k, 10), changed(v, 10))).toEqual(out);
    expect(at(3, 4)).toEqual(at(3, null));
    expect(maxAbs(at(4, 4), at(4, null))).toBeGreaterThan(0);
    expect(at(9, 100)).toEqual(at(9, null));
  });

  test("equal scores average the values", () => {
    const out = at(11, null, new Float64Array(k.length));
    const mean = Array.from({ length: 8 }, (_, c) => {
      let sum = 0;
      for (let j = 0; j < 12; j++) sum += v[j * kvWidth + c]!;
      return sum / 12;
    });
    assertClose(out.slice(0, 8), mean, ROUNDING);
  });

  test.each([null, 10_000])("fused decode equals prefill, token by token (rope %s)", (ropeTheta) => {
    const numTokens = 9;
    const width = (6 + 2 * 2) * 8;
    const qkv = random.randomFloats(numTokens * width);
    const positions = Array.from({ length: numTokens }, (_, t) => t);
    const shared = { ...heads, qGain: random.randomFloats(8), kGain: random.randomFloats(8), eps: 1e-6, ropeTheta };
    const expected = attention({ ...heads, ...prepareHeads({ ...shared, qkv, positions }), positions, window: 4 });
    const cache: { k: number[]; v: number[] } = { k: [], v: [] };
    for (const pos of positions) {
      const token = qkv.slice(pos * width, (pos + 1) * width);
      const { out, kRow, vRow } = attentionDecode({ ...shared, qkv: token, pos, cache, window: 4 });
      assertClose(out, expected.slice(pos * 48, (pos + 1) * 48), ROUNDING, `token ${pos}`);
      cache.k.push(...kRow);
      cache.v.push(...vRow);
    }
  });
});

describe("router", () => {
  const pick = (logits: readonly number[], topK: number, renormalize = false, scale = 1) =>
    select({ logits, numExperts: logits.length, topK, renormalize, scale });

  test("softmax sums to one and does not overflow", () => {
    expect(softmax([1000, 1000])).toEqual(Float64Array.of(0.5, 0.5));
    expect(softmax(random.randomFloats(64, -30, 30)).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  });

  test("ties go to the lower id", () => {
    expect([...pick([1, 2, 2, 0, 2], 4).expertIds]).toEqual([1, 2, 4, 0]);
    expect([...pick([5, 5, 5, 5], 2).expertIds]).toEqual([0, 1]);
    expect([...pick([5, 5, 5, 5], 2).routingWeights]).toEqual([0.25, 0.25]);
  });

  test("renormalise, then scale", () => {
    const logits = [0, 1, 2, 3].map((n) => Math.log(2 ** n)); // probabilities 1, 2, 4, 8 of 15
    assertClose(pick(logits, 2).routingWeights, [8 / 15, 4 / 15], ROUNDING);
    assertClose(pick(logits, 2, true).routingWeights, [2 / 3, 1 / 3], ROUNDING);
    assertClose(pick(logits, 2, true, 2.5).routingWeights, [5 / 3, 5 / 6], ROUNDING);
  });

  test("rows are independent", () => {
    const { expertIds } = select({
      logits: [0, 1, 2, 9, 8, 7],
      numExperts: 3,
      topK: 1,
      renormalize: true,
      scale: 1,
    });
    expect([...expertIds]).toEqual([2, 0]);
  });
});

describe("experts", () => {
  test("swiglu by hand", () => {
    assertClose(swiglu([0, 1, -800, 800], [5, 2, 3, 2]), [0, 2 / (1 + Math.exp(-1)), 0, 1600], ROUNDING);
  });

  test("every expert is the dense block, combined by weight", () => {
    const [width, inner, numTokens, topK] = [5, 7, 3, 2];
    const bank = Array.from({ length: 4 }, () => ({
      gate: random.randomFloats(inner * width),
      up: random.randomFloats(inner * width),
      down: random.randomFloats(width * inner),
    }));
    const x = random.randomFloats(numTokens * width);
    const expertIds = [0, 3, 2, 1, 3, 3];
    const routingWeights = [0.5, 0.25, 1, 0, 0.1, 0.2];
    const out = experts({ x, expertIds, routingWeights, topK, expertWeights: (id) => bank[id]! });
    const first = x.slice(0, width);
    const expected = expert(first, bank[0]!).map((a, c) => 0.5 * a + 0.25 * expert(first, bank[3]!)[c]!);
    assertClose(out.slice(0, width), expected, ROUNDING);
    assertClose(out.slice(width, 2 * width), expert(x.slice(width, 2 * width), bank[2]!), ROUNDING);
    assertClose(
      out.slice(2 * width),
      expert(x.slice(2 * width), bank[3]!).map((a) => a * (0.1 + 0.2)),
      ROUNDING,
    );
  });

  test("combine adds in rank order", () => {
    expect([...combine([1, 2, 10, 20, 3, 4, 30, 40], [1, 0.5, 2, 0.1], 2)]).toEqual([6, 12, 9, 12]);
  });
});

describe("compare", () => {
  test("nmse and maxAbs", () => {
    expect(nmse([1, 2], [1, 2])).toBe(0);
    expect(nmse([3, 4.5], [3, 4])).toBe(0.01);
    expect(nmse([0], [0])).toBe(0);
    expect(nmse([1], [0])).toBe(Infinity);
    expect(maxAbs([1, 5], [2, 2])).toBe(3);
    expect(() => nmse([1], [1, 2])).toThrow("lengths differ");
    expect(() => assertClose([NaN, 1], [1, 1], 1)).toThrow("NMSE NaN");
  });

  test("a seed repeats its numbers, in range", () => {
    const [a, b] = [createRandom(7, true), createRandom(7, true)];
    expect(a.randomFloats(100)).toEqual(b.randomFloats(100));
    expect(a.randomInts(50, 3, 9)).toEqual(b.randomInts(50, 3, 9));
    expect(new Set(a.randomInts(500, -1 + 4, 9))).toEqual(new Set([3, 4, 5, 6, 7, 8, 9]));
    const normals = a.randomNormals(20_000, 2);
    expect(normals.reduce((sum, v) => sum + v * v, 0) / 20_000).toBeCloseTo(4, 0);
  });
});
