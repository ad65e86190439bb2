/** Replays against traces worked out by hand, against plain definitions, and against published reference points. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { type ReplayCounts, type ReplayOptions, replayEvents, slotsFor, stepsOf } from "../../../src/pager/replay.ts";
import { REPLAY_POLICY_NAMES } from "../../../src/pager/replay-policies.ts";
import { realTrace, stepsOfLayers, stepsOfOneLayer, type TraceName } from "../../fixtures/traces/traces.ts";

vi.setConfig({ testTimeout: 60_000 }); // whole traces, on a busy machine

const PLAIN: Omit<ReplayOptions, "slotsPerLayer"> = { policy: "lru", numExperts: 8, prefetch: "none", guesses: 0 };

/** Residency hits in percent. */
function hitPercent(counts: ReplayCounts): number {
  return (100 * counts.hits) / counts.picks;
}

describe("by hand", () => {
  test("lru, two slots: hits, loads, evictions, first touches", () => {
    const steps = stepsOfOneLayer([
      [0, 1], // both new                                -> 0 1
      [0, 2], // 0 is there, 2 is new, 1 is the oldest   -> 0 2
      [1, 2], // 2 is there, 1 comes again, 0 goes       -> 1 2
      [3, 0], // 3 is new, 0 comes again, 1 and 2 go     -> 0 3
    ]);
    expect(replayEvents(steps, { ...PLAIN, slotsPerLayer: 2 })).toEqual({
      tokens: 4,
      events: 4,
      picks: 8,
      hits: 2,
      timely: 0,
      demandLoads: 6,
      guessLoads: 0,
      wasted: 0,
      evictions: 4,
      firstTouches: 4,
      cleanEvents: 0,
      guessBatches: new Map(),
    });
  });

  test("an event is one: what it admits does not push out what it still wants", () => {
    // One after another, 2 would push out 0, and 0 would miss.
    const counts = replayEvents(
      stepsOfOneLayer([
        [0, 1],
        [2, 0],
      ]),
      { ...PLAIN, slotsPerLayer: 2 },
    );
    expect([counts.hits, counts.demandLoads]).toEqual([1, 3]);
  });

  test("what just came may be dropped at once", () => {
    const steps = stepsOfOneLayer([[0], [0], [0], [1], [0]]);
    // At step 4 expert 0 has 3 uses / (1 + 1) = 1.5, expert 1 has 1 / (1 + 0) = 1.
    const counts = replayEvents(steps, { ...PLAIN, policy: "lfru-undecayed", slotsPerLayer: 1 });
    expect([counts.hits, counts.demandLoads, counts.evictions]).toEqual([3, 2, 0]);
    // LRU lets 0 go for 1, and loads it again.
    expect(replayEvents(steps, { ...PLAIN, slotsPerLayer: 1 })).toMatchObject({
      hits: 2,
      demandLoads: 3,
      evictions: 2,
    });
  });

  test("the clairvoyant passes up what comes last", () => {
    const steps = stepsOfOneLayer([[0], [1], [2], [0], [1]]);
    expect(replayEvents(steps, { ...PLAIN, policy: "belady", slotsPerLayer: 2 }).hits).toBe(2);
    expect(replayEvents(steps, { ...PLAIN, slotsPerLayer: 2 }).hits).toBe(0);
  });

  test("layers do not compete", () => {
    const steps = stepsOfLayers([
      [[0], [5]],
      [[0], [6]],
      [[0], [5]],
    ]);
    expect(replayEvents(steps, { ...PLAIN, slotsPerLayer: 1 })).toMatchObject({ hits: 2, events: 6, cleanEvents: 2 });
  });

  test("guesses: timely, wasted, and none for residents", () => {
    const steps = stepsOfOneLayer([
      [0], // nothing is popular yet: demand
      [0], // 0 is popular and resident: no guess; hit
      [1], // the same: demand, 0 goes
      [1], // 0 is the most popular and absent: guessed for nothing; hit
      [0], // guessed again, in time
    ]);
    expect(replayEvents(steps, { ...PLAIN, slotsPerLayer: 1, prefetch: "popular", guesses: 1 })).toMatchObject({
      hits: 2,
      timely: 1,
      demandLoads: 2,
      guessLoads: 2,
      wasted: 1,
      evictions: 2,
      cleanEvents: 3,
      guessBatches: new Map([[1, 2]]),
    });
  });

  test("the oracle leaves nothing to wait for, and saves no bytes", () => {
    const steps = stepsOfLayers([
      [
        [0, 1],
        [2, 3],
      ],
      [
        [4, 5],
        [2, 6],
      ],
    ]);
    const all = { ...PLAIN, slotsPerLayer: 2, prefetch: "oracle", guesses: 2 } as const;
    expect(replayEvents(steps, all)).toMatchObject({ hits: 1, timely: 7, demandLoads: 0, guessLoads: 7, wasted: 0 });
    expect(replayEvents(steps, { ...all, guesses: 1 })).toMatchObject({ hits: 1, timely: 4, demandLoads: 3 });
  });
});

test("an expert beyond the layer's is refused", () => {
  expect(() => replayEvents(stepsOfOneLayer([[8]]), { ...PLAIN, slotsPerLayer: 1 })).toThrow(/expert 8.*below 8/);
});

test("capacities: shares are rounded to whole slots, one at least, all at most", () => {
  expect([0.03, 0.1, 0.2, 0.3, 1].map((share) => slotsFor({ share }, 32))).toEqual([1, 3, 6, 10, 32]);
  expect([0.001, 0.1, 0.2, 0.3].map((share) => slotsFor({ share }, 128))).toEqual([1, 13, 26, 38]);
  expect(slotsFor({ slots: 40 }, 32)).toBe(32);
});

/** Events [steps][topK] of distinct experts below 8. */
const randomEvents = fc.array(fc.uniqueArray(fc.nat(7), { minLength: 3, maxLength: 3 }), {
  minLength: 1,
  maxLength: 60,
});

describe("on random traces", () => {
  test("everything chosen is a hit, timely, or waited for; every guess is timely or wasted", () => {
    fc.assert(
      fc.property(
        randomEvents,
        fc.constantFrom(...REPLAY_POLICY_NAMES),
        fc.integer({ min: 1, max: 8 }),
        (events, policy, slots) => {
          const options = { ...PLAIN, policy, slotsPerLayer: slots, prefetch: "popular", guesses: 2 } as const;
          const counts = replayEvents(stepsOfOneLayer(events), options);
          expect(counts.hits + counts.timely + counts.demandLoads).toBe(counts.picks);
          expect(counts.timely + counts.wasted).toBe(counts.guessLoads);
          expect(counts.firstTouches).toBe(new Set(events.flat()).size);
          // What came in and did not go is what is there: at most the slots.
          expect(counts.picks - counts.hits - counts.evictions).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });

  test("lru hits are those of its definition: fewer than `slots` other experts since the last use", () => {
    fc.assert(
      fc.property(randomEvents, fc.integer({ min: 3, max: 8 }), (events, slots) => {
        let hits = 0;
        events.forEach((event, now) => {
          for (const expert of event) {
            const last = events.slice(0, now).findLastIndex((earlier) => earlier.includes(expert));
            if (last < 0) continue;
            // Of one event, higher ids stay longer: equals go by the lowest id.
            const since = events.slice(last + 1, now).flat();
            const beside = events[last]!.filter((other) => other > expert);
            if (new Set([...since, ...beside]).size < slots) hits += 1;
          }
        });
        expect(replayEvents(stepsOfOneLayer(events), { ...PLAIN, slotsPerLayer: slots }).hits).toBe(hits);
      }),
    );
  });

  test("nothing beats the clairvoyant", () => {
    fc.assert(
      fc.property(randomEvents, fc.integer({ min: 1, max: 7 }), (events, slots) => {
        const steps = stepsOfOneLayer(events);
        const hits = (policy: ReplayOptions["policy"]) =>
          replayEvents(steps, { ...PLAIN, policy, slotsPerLayer: slots }).hits;
        const bound = hits("belady");
        for (const policy of REPLAY_POLICY_NAMES) expect(hits(policy)).toBeLessThanOrEqual(bound);
      }),
    );
  });
});

describe("reference points of real traces: residency hit %, decode only", () => {
  const reference: [TraceName, number[], Partial<Record<ReplayOptions["policy"], number[]>>][] = [
    [
      "gpt-oss-20b-a",
      [3, 6, 10],
      { lru: [35.8, 61.0, 77.6], "lfru-undecayed": [43.8, 65.3, 80.3], belady: [55.3, 76.3, 87.8] },
    ],
    [
      "gpt-oss-20b-b",
      [3, 6, 10],
      { lru: [35.1, 58.6, 75.3], "lfru-undecayed": [40.8, 61.9, 78.2], belady: [54.1, 74.5, 87.0] },
    ],
    [
      "qwen3-30b-k6",
      [13, 26, 38],
      { lru: [54.6, 74.6, 84.9], "lfru-undecayed": [58.1, 77.1, 85.7], belady: [72.6, 85.8, 90.1] },
    ],
  ];
  test.each(reference)("%s", (name, slots, policies) => {
    const { trace, numExperts } = realTrace(name);
    const steps = stepsOf(trace, "decode");
    const percents = (policy: ReplayOptions["policy"]) =>
      slots.map((slotsPerLayer) => hitPercent(replayEvents(steps, { ...PLAIN, policy, numExperts, slotsPerLayer })));
    for (const [policy, expected] of Object.entries(policies)) {
      percents(policy as ReplayOptions["policy"]).forEach((percent, i) => {
        expect(Math.abs(percent - expected[i]!), `${policy} ${percent}`).toBeLessThan(0.0501);
      });
    }
    // The engine's own are to be no worse than the yardstick anywhere, and its default better by a point at 10 and 20 %.
    const [yardstick, lfru, successor] = (["lfru-undecayed", "lfru", "successor"] as const).map(percents);
    for (const [i, percent] of lfru!.entries()) expect(percent).toBeGreaterThanOrEqual(yardstick![i]!);
    for (const [i, percent] of successor!.entries()) expect(percent).toBeGreaterThan(lfru![i]!);
    expect(successor![0]! - yardstick![0]!).toBeGreaterThan(1.5);
    expect(successor![1]! - yardstick![1]!).toBeGreaterThan(0.6);
  });

  test("slots for one event and no more still hit: there is no cliff", () => {
    for (const [name, k, least] of [
      ["gpt-oss-20b-a", 4, 54],
      ["gpt-oss-20b-b", 4, 52],
      ["qwen3-30b-k6", 6, 39],
    ] as const) {
      const { trace, numExperts } = realTrace(name);
      const options = { ...PLAIN, policy: "successor", numExperts, slotsPerLayer: k } as const;
      expect(hitPercent(replayEvents(stepsOf(trace, "decode"), options))).toBeGreaterThan(least);
    }
  });

  test("phases", () => {
    const { trace } = realTrace("qwen3-30b-k6");
    expect((["prefill", "decode", "all"] as const).map((phase) => stepsOf(trace, phase).length)).toEqual([
      28, 128, 156,
    ]);
    const options = { ...PLAIN, numExperts: 128, slotsPerLayer: 128 };
    // The last layer computed one token of the prompt: 27 events are not there.
    expect(replayEvents(stepsOf(trace, "prefill"), options)).toMatchObject({ tokens: 28, events: 28 * 48 - 27 });
  });
});
