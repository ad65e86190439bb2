/** The decode loop's rounds against steps worked out by hand. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { replayEvents, stepsOf } from "../../../src/pager/replay.ts";
import { eventCost, type Link, roundCost } from "../../../src/pager/replay-link.ts";
import { type RoundOptions, replayRounds } from "../../../src/pager/replay-rounds.ts";
import { realTrace, stepsOfLayers, stepsOfOneLayer } from "../../fixtures/traces/traces.ts";

vi.setConfig({ testTimeout: 60_000 }); // whole traces, on a busy machine

const PLAIN: RoundOptions = {
  policy: "lru",
  slotsPerLayer: 2,
  numExperts: 8,
  prefetch: "none",
  guesses: 0,
  runAhead: 0,
  hintAccuracy: 1,
  seed: 1,
};

/** A cold token of three layers, and the same again. */
const TWICE = stepsOfLayers([
  [[0], [1], [2]],
  [[0], [1], [2]],
]);

describe("by hand: a token of three layers, cold, then warm", () => {
  test("without run-ahead every layer takes a round, and the last one proves it", () => {
    // Layers run: 3 from the first, 3 again, then 2, then 1; the warm token 3.
    expect(replayRounds(TWICE, PLAIN)).toMatchObject({
      rounds: 4 + 1,
      cleanSteps: 1,
      layersRun: 9 + 3,
      hits: 3,
      timely: 0,
      demandLoads: 3,
      guessLoads: 0,
      fetchBatches: new Map([[1, 3]]),
    });
  });

  test("run-ahead 1: the second layer comes with the first", () => {
    expect(replayRounds(TWICE, { ...PLAIN, runAhead: 1 })).toMatchObject({
      rounds: 3 + 1,
      layersRun: 3 + 3 + 1 + 3,
      timely: 1,
      demandLoads: 2,
      fetchBatches: new Map([
        [2, 1],
        [1, 1],
      ]),
    });
  });

  test("run-ahead to the end: two rounds", () => {
    const counts = replayRounds(TWICE, { ...PLAIN, runAhead: Number.POSITIVE_INFINITY });
    expect(counts).toMatchObject({ rounds: 2 + 1, layersRun: 6 + 3, timely: 2, demandLoads: 1, wasted: 0, hits: 3 });
  });

  test("hints that are all wrong save no round and cost bytes", () => {
    const counts = replayRounds(TWICE, { ...PLAIN, runAhead: Number.POSITIVE_INFINITY, hintAccuracy: 0 });
    expect(counts).toMatchObject({ rounds: 4 + 1, timely: 0, demandLoads: 3, hits: 3 });
    expect(counts.guessLoads).toBeGreaterThanOrEqual(2);
    expect(counts.wasted).toBe(counts.guessLoads);
  });

  test("guesses for which a layer has no slot are not fetched", () => {
    const steps = stepsOfLayers([
      [[0], [3, 4]],
      [[5], [1, 2]],
      [[6], [5, 6]], // 3 and 4 are popular and absent, and the hints take both slots
    ]);
    const counts = replayRounds(steps, { ...PLAIN, runAhead: 1, prefetch: "popular", guesses: 2 });
    expect(counts).toMatchObject({ demandLoads: 3, guessLoads: 6, timely: 6, wasted: 0 });
  });

  test("further guesses come with a miss only, beyond the hints", () => {
    const steps = stepsOfLayers([
      [[0], [1]], // nothing is popular yet; 1 by its hint
      [[2], [3]], // 3 by its hint; 1 is popular and there
      [[4], [5]], // 5 by its hint, for 1
      [[6], [5]], // 5 is there; 1 is popular and absent: guessed, for 3, and never used
      [[6], [5]], // a clean step guesses nothing
    ]);
    expect(replayRounds(steps, { ...PLAIN, runAhead: 1, prefetch: "popular", guesses: 1 })).toMatchObject({
      rounds: 4 * 2 + 1,
      demandLoads: 4,
      guessLoads: 4,
      timely: 3,
      wasted: 1,
      hits: 1 + 2,
    });
  });
});

test("an event's experts stay until the token is over", () => {
  // Two slots for two experts: whatever was used often must go.
  const steps = stepsOfOneLayer([
    [0, 1],
    [0, 1],
    [0, 1],
    [2, 3],
    [2, 3],
  ]);
  expect(replayRounds(steps, { ...PLAIN, policy: "lfru-undecayed" })).toMatchObject({ hits: 6, evictions: 2 });
  // Where they may be dropped at once the famous two stay the first time: 3 / 2 against 1; the second, 3 / 3 against 2.
  expect(replayEvents(steps, { ...PLAIN, policy: "lfru-undecayed" })).toMatchObject({ hits: 4, evictions: 2 });
});

test("an event larger than the slots cannot run", () => {
  expect(() => replayRounds(stepsOfOneLayer([[0, 1, 2]]), PLAIN)).toThrow(/3 experts at once in 2 slots/);
});

describe("on random traces", () => {
  const randomSteps = fc
    .array(fc.array(fc.uniqueArray(fc.nat(7), { minLength: 2, maxLength: 2 }), { minLength: 4, maxLength: 4 }), {
      minLength: 1,
      maxLength: 30,
    })
    .map(stepsOfLayers);

  test("what is chosen and fetched adds up, and repeats", () => {
    const accuracies = fc.constantFrom(0, 0.5, 0.9, 1);
    fc.assert(
      fc.property(
        randomSteps,
        fc.nat(4),
        accuracies,
        fc.integer({ min: 2, max: 6 }),
        (steps, runAhead, hintAccuracy, slots) => {
          const options = {
            ...PLAIN,
            policy: "successor",
            runAhead,
            hintAccuracy,
            slotsPerLayer: slots,
            prefetch: "next-layer-history",
            guesses: 1,
          } as const;
          const counts = replayRounds(steps, options);
          expect(counts.hits + counts.timely + counts.demandLoads).toBe(counts.picks);
          expect(counts.timely + counts.wasted).toBe(counts.guessLoads);
          expect(counts.rounds).toBeGreaterThanOrEqual(counts.tokens);
          expect(counts.rounds).toBeLessThanOrEqual(counts.tokens * 5);
          expect(replayRounds(steps, options)).toEqual(counts);
        },
      ),
    );
  });

  test("with one layer and lru, the loop hits what the events hit", () => {
    const oneLayer = fc.array(fc.uniqueArray(fc.nat(7), { minLength: 2, maxLength: 2 }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(oneLayer, fc.integer({ min: 2, max: 7 }), (events, slotsPerLayer) => {
        const steps = stepsOfOneLayer(events);
        expect(replayRounds(steps, { ...PLAIN, slotsPerLayer }).hits).toBe(
          replayEvents(steps, { ...PLAIN, slotsPerLayer }).hits,
        );
      }),
    );
  });
});

test("gpt-oss-20b: rounds and clean layers as measured", () => {
  const { trace, numExperts } = realTrace("gpt-oss-20b-a");
  const steps = stepsOf(trace, "decode");
  const at = (runAhead: number, hintAccuracy = 1) => {
    const counts = replayRounds(steps, {
      ...PLAIN,
      policy: "successor",
      numExperts,
      slotsPerLayer: 16,
      runAhead,
      hintAccuracy,
    });
    return counts.rounds / counts.tokens;
  };
  const [none, four, all, doubtful] = [at(0), at(4), at(Number.POSITIVE_INFINITY), at(Number.POSITIVE_INFINITY, 0.8)];
  expect(none!).toBeGreaterThan(four!);
  expect(four!).toBeGreaterThan(all!);
  expect(all!).toBeLessThanOrEqual(2);
  expect(doubtful!).toBeGreaterThan(all! + 0.5);
});

describe("costs", () => {
  const link: Link = { expertBytes: 1000, latencyMs: 2, bytesPerMs: 500, layerMs: 1, roundtripMs: 3 };

  test("of rounds: batches of fetches, layers, round trips", () => {
    // Three fetches of one expert: 3 * (2 + 2). 12 layers, 5 rounds: 12 + 15. Two tokens.
    expect(roundCost(replayRounds(TWICE, PLAIN), link)).toEqual({ stallMs: 6, tokenMs: 6 + 13.5, bytes: 1500 });
  });

  test("of events: demands, and guesses that outlast the layer before", () => {
    const steps = stepsOfOneLayer([[0], [0], [1], [1], [0]]);
    const counts = replayEvents(steps, { ...PLAIN, slotsPerLayer: 1, prefetch: "popular", guesses: 1 });
    // Two demands of 2 + 2; two guesses of 4 less the 1 of a layer. Five layers of 1 + 3. Five tokens, four loads.
    expect(eventCost(counts, link)).toEqual({
      stallMs: expect.closeTo(14 / 5),
      tokenMs: expect.closeTo((14 + 20) / 5),
      bytes: 800,
    });
    expect(eventCost(counts, { ...link, layerMs: 10 }).stallMs).toBeCloseTo(8 / 5);
  });
});
