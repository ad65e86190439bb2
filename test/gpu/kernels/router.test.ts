import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../../../src/errors.ts";
import { UNIFORM_STORAGE_USAGE } from "../../../src/gpu/usage.ts";
import { MAX_EXPERTS, MAX_TOP_K, router } from "../../../src/kernels/router.ts";
import { swiglu } from "../../../src/kernels/swiglu.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";
import { select } from "../../reference/router.ts";
import { CANARY, CANARY_WORD, inRows, normals, untouched, useBench, wordsOf } from "./harness.ts";

const bench = useBench();

interface Case {
  readonly tokens: number;
  readonly numExperts: number;
  readonly topK: number;
  readonly renormalize?: boolean;
  readonly routingScale?: number;
  readonly scoring?: "softmax" | "sigmoid";
  /** With a random bias that only choosing sees. */
  readonly biased?: boolean;
}

/** Logits [tokens, numExperts] through the kernel; its record taken apart. */
async function run(at: Case, logits: Float32Array, bias?: Float32Array) {
  const { tokens, numExperts, topK, renormalize = false, routingScale = 1, scoring } = at;
  const { random } = bench;
  const logitsStride = Math.ceil(numExperts / 4) * 4 + 8;
  const [residencyAt, routingAt] = [random.int(0, 9), random.int(0, 9)];
  const slots = random.randomInts(numExperts, 0, 99).map((slot) => (slot < 30 ? ABSENT : slot));
  const routing = bench.canaries(routingAt + tokens * 3 * topK + 5);
  const command = router(bench.host(), {
    numExperts,
    topK,
    renormalize,
    routingScale,
    scoring,
    bias: bias && bench.floats(bias),
    // A latent vector shares the row with the logits: larger numbers behind them must not be chosen.
    logits: bench.floats(inRows(logits, numExperts, logitsStride, 0, 1e6)),
    logitsStride,
    residency: bench.words([...new Uint32Array(residencyAt), ...slots]),
    residencyAt,
    routing,
    routingAt,
  })(tokens);
  const words = wordsOf(await bench.result([command], routing));
  const record = words.subarray(routingAt, routingAt + tokens * 3 * topK);
  const outside = [...words.subarray(0, routingAt), ...words.subarray(routingAt + record.length)];
  expect(outside.every((word) => word === CANARY_WORD)).toBe(true);
  const part = (index: number) =>
    Uint32Array.from({ length: tokens * topK }, (_, i) => {
      return record[Math.floor(i / topK) * 3 * topK + index * topK + (i % topK)]!;
    });
  const routingWeights = new Float32Array(part(2).buffer);
  return { expertIds: part(0), slots: part(1), routingWeights, residency: slots };
}

/** Ids, ranks and slots exactly; weights as floats. */
async function compare(at: Case, logits: Float32Array): Promise<void> {
  const { numExperts, topK, renormalize = false, routingScale = 1, scoring } = at;
  const selectionBias = at.biased ? normals(bench.random, numExperts, 0.4) : undefined;
  const actual = await run(at, logits, selectionBias);
  const expected = select({ logits, numExperts, topK, renormalize, scale: routingScale, scoring, selectionBias });
  expect(actual.expertIds).toEqual(expected.expertIds);
  expect(actual.slots).toEqual(Uint32Array.from(expected.expertIds, (expert) => actual.residency[expert]!));
  bench.agrees(actual.routingWeights, expected.routingWeights);
}

const CASES: readonly Case[] = [
  { tokens: 1, numExperts: 1, topK: 1 },
  { tokens: 3, numExperts: 1, topK: 1, renormalize: true, routingScale: 2.5 },
  { tokens: 1, numExperts: 2, topK: 1 },
  { tokens: 5, numExperts: 8, topK: 2, renormalize: true },
  { tokens: 2, numExperts: 33, topK: 33, renormalize: true },
  { tokens: 33, numExperts: 64, topK: 6, routingScale: 0.5 },
  { tokens: 1, numExperts: 65, topK: 4, renormalize: true, routingScale: 2.5 },
  { tokens: 4, numExperts: 100, topK: 1 },
  { tokens: 2, numExperts: 257, topK: 8 },
  { tokens: 1, numExperts: MAX_EXPERTS, topK: MAX_TOP_K, renormalize: true },
];
const TITLE = "$tokens tokens, top $topK of $numExperts";

describe("random logits", () => {
  test.each(CASES)(TITLE, (at) => compare(at, normals(bench.random, at.tokens * at.numExperts, 2)));

  test("a random case", () => {
    const { random } = bench;
    const numExperts = random.int(1, 300);
    const topK = random.int(1, Math.min(16, numExperts));
    const at = { tokens: random.int(1, 20), numExperts, topK, renormalize: true, routingScale: random.float(0.1, 3) };
    return compare(at, normals(random, at.tokens * numExperts, 2));
  });
});

describe.each([
  { scoring: "sigmoid" },
  { scoring: "sigmoid", biased: true },
  { scoring: "softmax", biased: true },
] as const)("$scoring, biased $biased", (kind) => {
  test.each([
    { tokens: 1, numExperts: 1, topK: 1, renormalize: true },
    { tokens: 9, numExperts: 7, topK: 3, renormalize: true, routingScale: 2.5 },
    { tokens: 3, numExperts: 65, topK: 8 },
    { tokens: 1, numExperts: 300, topK: 22, renormalize: true },
  ])(TITLE, (at) => compare({ ...at, ...kind }, normals(bench.random, at.tokens * at.numExperts, 2)));
});

test("sigmoids that a float32 cannot tell from one are chosen by the lower id", async () => {
  const at = { tokens: 1, numExperts: 4, topK: 2, scoring: "sigmoid" } as const;
  const { expertIds, routingWeights } = await run(at, Float32Array.of(-200, 40, 90, 60), new Float32Array(4));
  expect([...expertIds]).toEqual([1, 2]);
  expect([...routingWeights]).toEqual([1, 1]);
});

describe("equal logits: the lower id comes first", () => {
  test.each(CASES)(`few levels: ${TITLE}`, (at) => {
    return compare(at, Float32Array.from(bench.random.randomInts(at.tokens * at.numExperts, 0, 4)));
  });

  test.each(CASES)(`all equal: ${TITLE}`, async (at) => {
    const logits = new Float32Array(at.tokens * at.numExperts).fill(-3);
    await compare(at, logits);
    const { expertIds } = await run(at, logits);
    expect(expertIds).toEqual(Uint32Array.from(expertIds, (_, i) => i % at.topK));
  });

  test("plus and minus zero are equal", async () => {
    const logits = Float32Array.of(-0, 0, -0, 0, -1);
    expect([...(await run({ tokens: 1, numExperts: 5, topK: 4 }, logits)).expertIds]).toEqual([0, 1, 2, 3]);
  });
});

describe("large logits", () => {
  test("the difference counts, not the size", async () => {
    const logits = Float32Array.of(30_000, 30_001, 29_999, -30_000, 30_000.5);
    await compare({ tokens: 1, numExperts: 5, topK: 3, renormalize: true }, logits);
  });

  test("experts without a chance still get distinct ranks and finite weights", async () => {
    const at = { tokens: 1, numExperts: 6, topK: 6, renormalize: true };
    const { expertIds, routingWeights } = await run(at, Float32Array.of(-1e30, 0, -500, -1e38, -200, -300));
    expect([...expertIds]).toEqual([1, 4, 5, 2, 0, 3]);
    expect([...routingWeights]).toEqual([1, 0, 0, 0, 0, 0]);
  });
});

test("renormalised weights add up to the scale", async () => {
  const at = { tokens: 9, numExperts: 40, topK: 5, renormalize: true, routingScale: 1.75 };
  const { routingWeights } = await run(at, normals(bench.random, 9 * 40));
  for (let token = 0; token < 9; token++) {
    const sum = routingWeights.subarray(token * 5, token * 5 + 5).reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(1.75, 5);
  }
});

test("a token's choice is the same bits whatever its neighbours", async () => {
  const at = { tokens: 7, numExperts: 90, topK: 4, renormalize: true };
  const logits = normals(bench.random, 7 * 90);
  const all = await run(at, logits);
  for (const token of [0, 3, 6]) {
    const alone = await run({ ...at, tokens: 1 }, logits.slice(token * 90, (token + 1) * 90));
    expect(alone.expertIds).toEqual(all.expertIds.slice(token * 4, token * 4 + 4));
    expect(alone.routingWeights).toEqual(all.routingWeights.slice(token * 4, token * 4 + 4));
  }
});

describe("a step that watches its misses", () => {
  const [numExperts, topK, numMoe] = [9, 3, 4];
  const NONE = 0xffff_ffff;

  interface Watched {
    readonly moe: number;
    /** Experts that have no slot. */
    readonly absent?: readonly number[];
    readonly miss?: readonly [first: number, halted: number];
    readonly runAhead?: number;
    readonly hints?: number;
    readonly fixed?: boolean;
  }

  /** Expert 8 is the likeliest, 7 the next, and so on. */
  async function watched({ moe, absent = [], miss = [NONE, 0], runAhead = 1, hints = 0, fixed = false }: Watched) {
    const state = bench.own(bench.gpu.ledger.create("scratch", "miss", 8, UNIFORM_STORAGE_USAGE));
    bench.gpu.queue.write(state, 0, new Uint32Array(miss));
    const routing = bench.canaries(3 * topK + 8);
    const slots = Array.from({ length: numExperts }, (_, e) => (absent.includes(e) ? ABSENT : 40 + e));
    const command = router(bench.host(), {
      numExperts,
      topK,
      renormalize: false,
      routingScale: 1,
      logits: bench.floats(Array.from({ length: 12 }, (_, e) => e / 4)),
      logitsStride: 12,
      residency: fixed ? undefined : bench.words(slots),
      residencyAt: 0,
      routing,
      routingAt: 0,
      watch: {
        step: bench.uniform(new Uint8Array(new Uint32Array([5, 1, runAhead, hints]).buffer)),
        miss: state,
        moe,
        numMoe,
        hintsAt: 3 * topK,
      },
    })(1);
    const [record, after] = await bench.run([command], routing, state);
    const words = wordsOf(record!);
    return {
      ids: [...words.subarray(0, topK)],
      slots: [...words.subarray(topK, 2 * topK)],
      hints: [...words.subarray(3 * topK, 3 * topK + 8)],
      miss: [...wordsOf(after!).subarray(0, 2)],
    };
  }

  test("names the experts next below the cut, and none where there is no other", async () => {
    const none = await watched({ moe: 0 });
    expect(none).toMatchObject({ ids: [8, 7, 6], hints: Array(8).fill(CANARY_WORD), miss: [NONE, 0] });
    expect((await watched({ moe: 0, hints: 2 })).hints).toEqual([5, 4, ...Array(6).fill(CANARY_WORD)]);
    expect((await watched({ moe: 0, hints: 8 })).hints).toEqual([5, 4, 3, 2, 1, 0, NONE, NONE]);
  });

  test.each<[string, Watched, [number, number]]>([
    ["an absent expert below the cut is no miss", { moe: 1, absent: [5, 0] }, [NONE, 0]],
    ["the first miss is marked, and the step goes on", { moe: 1, absent: [7] }, [1, 0]],
    ["a later miss does not move the mark", { moe: 2, absent: [7], miss: [1, 0], runAhead: 2 }, [1, 0]],
    ["a step that has gone far enough halts, hit or miss", { moe: 2, miss: [1, 0] }, [1, 1]],
    ["without run-ahead the first miss halts", { moe: 1, absent: [8], runAhead: 0 }, [1, 1]],
    ["the last layer halts what missed", { moe: 3, miss: [1, 0], runAhead: 4 }, [1, 1]],
    ["the last layer halts its own miss", { moe: 3, absent: [6], runAhead: 4 }, [3, 1]],
    ["but not a step that runs on into the next token", { moe: 3, miss: [1, 0], runAhead: 5 }, [1, 0]],
    ["nor where it misses itself", { moe: 3, absent: [6], runAhead: 5 }, [3, 0]],
    ["the last layer does not halt a clean step", { moe: 3, runAhead: 0 }, [NONE, 0]],
  ])("%s", async (_, at, expected) => {
    expect((await watched({ hints: 1, ...at })).miss).toEqual(expected);
  });

  test("a halted step writes nothing", async () => {
    const { ids, slots, hints, miss } = await watched({ moe: 2, absent: [7], miss: [1, 1], hints: 3 });
    expect(new Set([...ids, ...slots, ...hints])).toEqual(new Set([CANARY_WORD]));
    expect(miss).toEqual([1, 1]);
  });

  test("without a table every expert is in the slot of its number", async () => {
    expect((await watched({ moe: 0 })).slots).toEqual([48, 47, 46]);
    expect((await watched({ moe: 0, fixed: true })).slots).toEqual([8, 7, 6]);
  });

  test("a halting host's kernels run until the step halts", async () => {
    const run = async (halted: number) => {
      const halt = bench.own(bench.gpu.ledger.create("scratch", "halt", 8, UNIFORM_STORAGE_USAGE));
      bench.gpu.queue.write(halt, 0, new Uint32Array([0, halted]));
      const act = bench.canaries(8);
      const host = bench.host().halting(halt);
      return bench.result([swiglu(host, 8, 8, bench.floats(normals(bench.random, 16)), act)(1)], act);
    };
    untouched(await run(1));
    const ran = await run(0);
    expect(ran.some((value) => value !== CANARY)).toBe(true);
  });
});

const TABLES = { residencyAt: 0, routingAt: 0, logitsStride: 4, renormalize: false, routingScale: 1 };

test("no token writes nothing", async () => {
  const routing = bench.canaries(8);
  const site = { numExperts: 4, topK: 1, logits: bench.canaries(4), residency: bench.canaries(4), routing };
  untouched(await bench.result([router(bench.host(), { ...TABLES, ...site })(0)], routing));
});

test.each([
  { numExperts: MAX_EXPERTS + 1, topK: 1 },
  { numExperts: MAX_EXPERTS, topK: MAX_TOP_K + 1 },
])("$numExperts experts, top $topK, are refused", (sizes) => {
  const buffer = bench.canaries(4);
  const site = { ...TABLES, ...sizes, logits: buffer, residency: buffer, routing: buffer };
  expect(() => router(bench.host(), site)).toThrow(UnsupportedError);
});
