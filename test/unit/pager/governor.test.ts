/** The governor against hand counts, and its estimates against replays at those capacities. */
import { describe, expect, test, vi } from "vitest";
import { Governor } from "../../../src/pager/governor.ts";
import type { PolicyName } from "../../../src/pager/policy.ts";
import { replayEvents, stepsOf } from "../../../src/pager/replay.ts";
import { realTrace, TRACE_NAMES } from "../../fixtures/traces/traces.ts";

vi.setConfig({ testTimeout: 60_000 }); // whole traces, on a busy machine

function governorOf(events: readonly (readonly number[])[], numExperts: number, halfLife?: number): Governor {
  const governor = new Governor([numExperts], halfLife);
  for (const event of events) governor.observe([event]);
  return governor;
}

function repeat<T>(times: number, items: readonly T[]): T[] {
  return Array.from({ length: times * items.length }, (_, i) => items[i % items.length] as T);
}

test("depths by hand", () => {
  // 0 new | 1 new | 0 at depth 1 (behind 1) | 0 at depth 0 | 2 new | 1 at depth 2 (behind 2 and 0)
  const governor = governorOf([[0], [1], [0], [0], [2], [1]], 4, Number.POSITIVE_INFINITY);
  expect([0, 1, 2, 3, 4].map((slots) => governor.lruHitRate(slots) * 6)).toEqual([0, 1, 2, 3, 3]);
  expect(governor.estimate(2, 2).loadsPerToken).toBeCloseTo(4 / 6);
  expect(new Governor([4]).lruHitRate(4)).toBe(0);
});

test("the window forgets", () => {
  // Expert 0 alone for long, then 0 and 1 in turn.
  const governor = governorOf([...repeat(1000, [[0]]), ...repeat(40, [[0], [1]])], 4, 8);
  expect(governor.lruHitRate(1)).toBeLessThan(0.01);
  expect(governor.lruHitRate(2)).toBeGreaterThan(0.99);
});

test("a layer that the model does not have", () => {
  expect(() => new Governor([4]).observe([[0], [1]])).toThrow(RangeError);
});

describe("advice", () => {
  test("more, where a cycle is just too long for the slots", () => {
    const governor = governorOf(repeat(30, [[0], [1], [2], [3], [4]]), 16);
    const advice = governor.advise(4);
    expect(advice).toMatchObject({
      verdict: "more",
      now: { slots: 4, hitRate: 0 },
      more: { slots: 5 },
      fewer: { slots: 3 },
    });
    expect(advice.more.hitRate).toBeGreaterThan(0.95);
    expect(advice.now.loadsPerToken).toBeCloseTo(1);
    expect(advice.more.loadsPerToken).toBeLessThan(0.05);
  });

  test("fewer, where a quarter of the slots lies idle; keep, where each is used and more would not help", () => {
    const governor = governorOf(repeat(30, [[0], [1], [2], [3], [4], [5]]), 16);
    expect(governor.advise(8).verdict).toBe("fewer");
    expect(governor.advise(6).verdict).toBe("keep");
  });

  test("none yet after a few tokens; one slot is not given up, nor more asked for than experts", () => {
    expect(governorOf(repeat(10, [[0], [1]]), 4).advise(1).verdict).toBe("unknown");
    expect(governorOf(repeat(100, [[0]]), 4).advise(1)).toMatchObject({ verdict: "keep", fewer: { slots: 1 } });
    expect(governorOf(repeat(50, [[0], [1], [2], [3]]), 4).advise(4)).toMatchObject({
      verdict: "keep",
      more: { slots: 4 },
    });
  });
});

describe.each(TRACE_NAMES)("%s", (name) => {
  const { trace, numExperts } = realTrace(name);
  const steps = stepsOf(trace, "decode");
  const governor = new Governor(
    trace.layers.map(() => numExperts),
    Number.POSITIVE_INFINITY,
  );
  for (const { experts } of steps) governor.observe(experts);
  const replayed = (policy: PolicyName, slotsPerLayer: number): number => {
    const counts = replayEvents(steps, { policy, slotsPerLayer, numExperts, prefetch: "none", guesses: 0 });
    return counts.hits / counts.picks;
  };

  test("lru: exactly the replay's, at every capacity", () => {
    for (const share of [0.1, 0.2, 0.5]) {
      const slots = Math.max(trace.topK, Math.round(share * numExperts));
      expect(governor.lruHitRate(slots)).toBeCloseTo(replayed("lru", slots), 12);
    }
  });

  test.each(["lfru", "successor"] as const)("%s: a quarter more or fewer slots within 1.5 points", (policy) => {
    for (const share of [0.2, 0.5]) {
      const present = Math.round(share * numExperts);
      const measured = replayed(policy, present);
      const { fewer, more, now } = governor.advise(present, measured);
      expect(now.hitRate).toBeCloseTo(measured, 12);
      for (const { slots, hitRate } of [fewer, more]) {
        expect(Math.abs(hitRate - replayed(policy, slots)), `${present} -> ${slots} slots`).toBeLessThan(0.015);
      }
    }
  });
});
