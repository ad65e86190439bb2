/** The estimates of `canRun`, by numbers worked out by hand and by what must hold for any. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MemoryFacts } from "../../../src/engine/describe.ts";
import {
  type DeviceSpeed,
  estimateSpeed,
  expectedHitRate,
  expertsTouched,
  promptExpertBytes,
} from "../../../src/engine/run-estimate.ts";
import { judgeFit } from "../../../src/engine/run-verdict.ts";
import { kvBytesRead, type TokenWork, tokenWork } from "../../../src/engine/token-work.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { openGgufBytes, openMai, readRepositoryFile } from "../../fixtures/files.ts";

const GIB = 2 ** 30;
/** 1 KB a millisecond through kernels, 10 KB a millisecond by copy. */
const DEVICE: DeviceSpeed = {
  copyBytesPerSecond: 10_000_000,
  matvecBytesPerSecond: 1_000_000,
  dispatchMs: 0.5,
  roundTripMs: 3,
};
/** Two MoE layers of 32 experts, 2 chosen, 500 bytes each (400 in the file, in 3 runs), and 4,000 dense bytes. */
const LAYER = { numExperts: 32, topK: 2, slotBytes: 500, storedBytes: 400, ranges: 3 };
const WORK: TokenWork = {
  dispatches: 10,
  denseBytes: 4000,
  chosenExpertBytes: 2 * 2 * 500,
  moe: [LAYER, LAYER],
  storedDenseBytes: 3000,
  storedExpertBytes: 64 * 400,
};

describe("speed", () => {
  test("resident: dispatches, bytes and one round trip", () => {
    // 10 dispatches 5 ms, 4,000 + 2,000 + 1,000 bytes 7 ms, a round trip 3 ms.
    const speed = estimateSpeed(WORK, 32, 1000, DEVICE);
    expect(speed).toMatchObject({ computeMs: 12, roundTripMs: 3, fetchMs: 0, msPerToken: 15, rounds: 1, hitRate: 1 });
    expect(speed.tokensPerSecond).toBeCloseTo(1000 / 15);
  });

  test("paged from host memory: a round for every layer that misses, and its copies", () => {
    // At 6 of 32 slots 63.4 % hit: a layer misses with 1 - 0.634^2, and lacks 0.732 of its 2 experts.
    const speed = estimateSpeed(WORK, 6, 0, DEVICE);
    const rounds = 1 + 2 * (1 - 0.634 ** 2);
    expect(speed.rounds).toBeCloseTo(rounds);
    expect(speed.expertsFetched).toBeCloseTo(2 * 0.732);
    expect(speed.bytesFetched).toBeCloseTo(2 * 0.732 * 500);
    expect(speed.msPerToken).toBeCloseTo(5 + 6 + 3 * rounds + (2 * 0.732 * 500) / 10_000);
    expect(speed.hitRate).toBeCloseTo(0.634);
  });

  test("paged over a link: latencies, at least one for a round, and bytes as the file has them", () => {
    const link = { latencyMs: 30, bytesPerSecond: 100_000 };
    const near = estimateSpeed(WORK, 6, 0, DEVICE);
    const far = estimateSpeed(WORK, 6, 0, DEVICE, link);
    // 0.732 experts in 3 runs each are fewer than six requests: one latency for a layer that misses.
    const latencies = 2 * (1 - 0.634 ** 2);
    expect(far.fetchMs - near.fetchMs).toBeCloseTo(latencies * 30 + (2 * 0.732 * 400) / 100);
  });

  test("more slots, a faster device or a nearer link never make it slower", () => {
    const speeds = fc.record({
      copyBytesPerSecond: fc.double({ min: 1e6, max: 1e11, noNaN: true }),
      matvecBytesPerSecond: fc.double({ min: 1e6, max: 1e13, noNaN: true }),
      dispatchMs: fc.double({ min: 0, max: 1, noNaN: true }),
      roundTripMs: fc.double({ min: 0.05, max: 50, noNaN: true }),
    });
    const slots = fc.integer({ min: 2, max: 31 });
    fc.assert(
      fc.property(speeds, slots, fc.double({ min: 1, max: 200, noNaN: true }), (device, count, latencyMs) => {
        const link = { latencyMs, bytesPerSecond: 1e6 };
        const of = (...args: [number, DeviceSpeed, typeof link]) =>
          estimateSpeed(WORK, args[0], 100, args[1], args[2]).tokensPerSecond;
        const base = of(count, device, link);
        expect(base).toBeGreaterThan(0);
        expect(of(count + 1, device, link)).toBeGreaterThanOrEqual(base);
        expect(of(32, device, link)).toBeGreaterThanOrEqual(base);
        expect(of(count, { ...device, matvecBytesPerSecond: 2 * device.matvecBytesPerSecond }, link)).toBeGreaterThan(
          base,
        );
        expect(of(count, { ...device, copyBytesPerSecond: 2 * device.copyBytesPerSecond }, link)).toBeGreaterThan(base);
        expect(of(count, device, { ...link, latencyMs: latencyMs / 2 })).toBeGreaterThan(base);
        expect(estimateSpeed(WORK, count, 100, device).tokensPerSecond).toBeGreaterThan(base);
      }),
    );
  });

  test("a model without experts has nothing to page", () => {
    const dense = { ...WORK, moe: [], chosenExpertBytes: 0, storedExpertBytes: 0 };
    expect(estimateSpeed(dense, 0, 0, DEVICE)).toMatchObject({ hitRate: 1, rounds: 1, msPerToken: 12 });
  });
});

describe("hits and experts touched", () => {
  test("hits: the points of the curve, between them a line, all beyond", () => {
    expect(expectedHitRate(6, 32)).toBeCloseTo(0.634);
    expect(expectedHitRate(64, 128)).toBeCloseTo(0.913);
    expect(expectedHitRate(8, 32)).toBeCloseTo((0.634 + 0.796) / 2);
    expect(expectedHitRate(32, 32)).toBe(1);
    expect(expectedHitRate(0, 32)).toBe(0);
    for (let slots = 1; slots <= 128; slots++) {
      expect(expectedHitRate(slots, 128)).toBeGreaterThan(expectedHitRate(slots - 1, 128));
    }
  });

  test("experts touched: top k for one token, more for more, never all of them twice", () => {
    expect(expertsTouched(32, 4, 0)).toBe(0);
    expect(expertsTouched(32, 4, 1)).toBe(4);
    expect(expertsTouched(8, 8, 5)).toBe(8);
    // 32 ** 0.65 = 9.51 independent tokens: 32 (1 - 0.875^9.51); the traces touch 19.1 and 19.2 in 32 tokens.
    expect(expertsTouched(32, 4, 32)).toBeCloseTo(32 * (1 - 0.875 ** (32 ** 0.65)));
    expect(expertsTouched(32, 4, 32)).toBeGreaterThan(19);
    for (let tokens = 1; tokens < 2000; tokens++) {
      expect(expertsTouched(128, 8, tokens + 1)).toBeGreaterThan(expertsTouched(128, 8, tokens));
      expect(expertsTouched(128, 8, tokens + 1)).toBeLessThanOrEqual(128);
    }
  });

  test("bytes of a prompt's experts", () => {
    expect(promptExpertBytes(WORK, 1)).toBe(2 * 2 * 400);
    expect(promptExpertBytes(WORK, 1e9)).toBeCloseTo(WORK.storedExpertBytes);
  });
});

describe("what a token costs", () => {
  test("the built-in model: 55 dispatches, everything in the file is dense or expert", async () => {
    const checkpoint = await openGgufBytes(
      readRepositoryFile("demo/public/models/octavo-tales/octavo-tales-q8_0.gguf"),
    );
    const { spec, names } = describeModel(checkpoint);
    const weights = createWeightMap(checkpoint, spec, names);
    const work = tokenWork(spec, weights, checkpoint, 128 * 2 ** 20);
    expect(work.dispatches).toBe(55);
    expect(work.moe.map(({ numExperts, topK, ranges }) => [numExperts, topK, ranges])).toEqual(
      Array.from({ length: 3 }, () => [64, 8, 3]),
    );
    let stored = 0;
    for (const { byteLength } of checkpoint.tensors.values()) stored += byteLength;
    expect(work.storedDenseBytes + work.storedExpertBytes).toBe(stored);
    expect(work.chosenExpertBytes).toBe(work.moe.reduce((sum, { topK, slotBytes }) => sum + topK * slotBytes, 0));
    expect(work.denseBytes).toBeLessThanOrEqual(weights.denseBytes);
  });

  test("keys and values grow with the position, up to the window", async () => {
    const checkpoint = await openMai("base-f32");
    const { spec } = describeModel(checkpoint);
    const windows = spec.layers.map(({ attention }) => attention?.window ?? null);
    expect(windows).toContain(null);
    const narrowest = Math.min(...windows.map((window) => window ?? Number.POSITIVE_INFINITY));
    expect(kvBytesRead(spec, narrowest)).toBe(narrowest * kvBytesRead(spec, 1));
    expect(kvBytesRead(spec, narrowest + 100)).toBeGreaterThan(kvBytesRead(spec, narrowest));
    expect(kvBytesRead(spec, narrowest + 100)).toBeLessThan((narrowest + 100) * kvBytesRead(spec, 1));
  });
});

describe("verdicts", () => {
  const memory = (minBudgetBytes: number, fullBudgetBytes: number, more: Partial<MemoryFacts> = {}): MemoryFacts => ({
    maxBindingBytes: GIB,
    contextLength: 2048,
    denseBytes: 0,
    expertBytes: 100,
    minBudgetBytes,
    comfortableBudgetBytes: fullBudgetBytes,
    fullBudgetBytes,
    mostResidentBytes: 100,
    ...more,
  });
  const known = (deviceMemory?: number, wantedBytes?: number) => ({ deviceMemory, wantedBytes });

  test("fits half of the memory: all of it", () => {
    const fit = judgeFit(memory(GIB, 2 * GIB), known(4));
    expect(fit).toMatchObject({
      verdict: "runs",
      suggestedBudgetBytes: 2 * GIB,
      reason: { code: "fits" },
      warnings: [],
    });
  });

  test("a byte more than half is paged within half", () => {
    const fit = judgeFit(memory(GIB, 2 * GIB + 1), known(4));
    expect(fit).toMatchObject({ verdict: "runs-paged", suggestedBudgetBytes: 2 * GIB, reason: { code: "paged" } });
  });

  test("bindings that cannot hold all experts page, whatever the budget", () => {
    expect(judgeFit(memory(1, GIB, { mostResidentBytes: 99 }), known(8)).verdict).toBe("runs-paged");
  });

  test("more than all memory does not run; where memory is only known to be 8 GiB or more, it is tried with a warning", () => {
    expect(judgeFit(memory(5 * GIB, 9 * GIB), known(4))).toMatchObject({
      verdict: "does-not-run",
      suggestedBudgetBytes: null,
    });
    const fit = judgeFit(memory(9 * GIB, 90 * GIB), known(8));
    expect(fit).toMatchObject({ verdict: "runs-paged", suggestedBudgetBytes: 9 * GIB });
    expect(fit.warnings.map(({ code }) => code)).toEqual(["budget-above-memory"]);
    expect(judgeFit(memory(1, 2), known()).warnings.map(({ code }) => code)).toEqual(["memory-unknown"]);
  });

  test("what the caller would give counts alone", () => {
    expect(judgeFit(memory(10, 30), known(undefined, 20))).toMatchObject({
      verdict: "runs-paged",
      suggestedBudgetBytes: 20,
      warnings: [],
    });
    expect(judgeFit(memory(10, 30), known(4, 9))).toMatchObject({
      verdict: "does-not-run",
      reason: { code: "not-enough-memory", text: expect.stringContaining("smallest that works is 10") },
    });
  });

  test("more memory never makes the verdict worse or the budget smaller", () => {
    const order = ["does-not-run", "runs-paged", "runs"];
    const bytes = fc.integer({ min: 1, max: 32 * 1024 });
    fc.assert(
      fc.property(bytes, bytes, fc.constantFrom(0.25, 0.5, 1, 2, 4), (a, b, gib) => {
        const facts = memory(Math.min(a, b) * 2 ** 20, Math.max(a, b) * 2 ** 20);
        const [less, more] = [judgeFit(facts, known(gib)), judgeFit(facts, known(2 * gib))];
        expect(order.indexOf(more.verdict)).toBeGreaterThanOrEqual(order.indexOf(less.verdict));
        expect(more.suggestedBudgetBytes ?? 0).toBeGreaterThanOrEqual(less.suggestedBudgetBytes ?? 0);
      }),
    );
  });
});
