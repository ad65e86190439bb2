/** The page's instruments as plain functions: looking back over steps, where the time went, advice and counters in words. */
import { describe, expect, test } from "vitest";
import { adviceText } from "../../../demo/instruments/advice.ts";
import { barScale, columnWidth } from "../../../demo/instruments/history-picture.ts";
import {
  countsOf,
  KEPT_STEPS,
  residencyAfter,
  StepHistory,
  sentenceOf,
} from "../../../demo/instruments/step-history.ts";
import { meanTimes, timesText } from "../../../demo/instruments/time-parts.ts";
import type { Advice, StepEvent } from "../../../src/index.ts";

interface Paged {
  readonly chosen?: readonly number[];
  readonly fetched?: readonly number[];
  readonly evicted?: readonly number[];
}

function step(position: number, { chosen = [], fetched = [], evicted = [] }: Paged = {}, ms = 10): StepEvent {
  const times = { computeMs: ms - 3, readBackMs: 1, stallMs: 2, fetchMs: 0, idleMs: 0 };
  return { phase: "decode", position, tokens: 1, ms, times, layers: [{ layer: 1, chosen, fetched, evicted }] };
}

const flags = (...residents: number[]) => [
  { layer: 1, resident: Array.from({ length: 5 }, (_, expert) => residents.includes(expert)) },
];

describe("looking back", () => {
  const steps = [
    step(0, { chosen: [0, 1], fetched: [0, 1] }),
    step(1, { chosen: [1, 2], fetched: [2], evicted: [0] }),
    step(2, { chosen: [0, 3], fetched: [0, 3, 4], evicted: [1, 4] }), // 4 came and went
    step(3, { chosen: [2, 1], fetched: [1, 2], evicted: [2, 3] }), // 2 went and came
  ];

  test("who was resident after each step follows from who is now", () => {
    const now = flags(0, 1, 2);
    expect(residencyAfter(steps, 3, now)).toEqual(now);
    expect(residencyAfter(steps, 2, now)).toEqual(flags(0, 2, 3));
    expect(residencyAfter(steps, 1, now)).toEqual(flags(1, 2));
    expect(residencyAfter(steps, 0, now)).toEqual(flags(0, 1));
    expect(residencyAfter(steps, -1, now)).toEqual(flags());
  });

  test("keeps so many steps, and stays at the one looked at until it is forgotten", () => {
    const history = new StepHistory();
    for (let position = 0; position < KEPT_STEPS; position++) history.add(step(position));
    history.lookAt(2);
    const looked = history.value.steps[2];
    history.add(step(KEPT_STEPS));
    expect(history.value.steps).toHaveLength(KEPT_STEPS);
    expect(history.value.at).toBe(1);
    expect(history.value.steps[1]).toBe(looked);
    for (let more = 1; more <= 5; more++) history.add(step(KEPT_STEPS + more));
    expect(history.value.at).toBe(0);
    expect(history.value.steps.at(-1)?.position).toBe(KEPT_STEPS + 5);
    history.lookAt(KEPT_STEPS - 1);
    expect(history.value.at).toBeNull(); // the newest is followed
    history.clear();
    expect(history.value).toEqual({ steps: [], at: null });
  });

  test("a step in a sentence, and the room that its column takes", () => {
    expect(countsOf(steps[2]!)).toEqual({ chosen: 2, fetched: 3, evicted: 2 });
    expect(sentenceOf(steps[2]!)).toBe("Token 3: 2 experts chosen, 3 fetched, 2 evicted.");
    expect(sentenceOf({ ...steps[0]!, phase: "prefill", position: 19, tokens: 20 })).toMatch(
      /^Prompt of 20 tokens up to 20/,
    );
    expect(columnWidth(320, 10)).toBe(columnWidth(320, 30));
    expect(columnWidth(320, 240) * 240).toBeCloseTo(320);
  });
});

describe("where the time went", () => {
  test("is averaged over tokens, and a long prompt does not set the scale", () => {
    const prompt: StepEvent = { ...step(0, {}, 4000), phase: "prefill" };
    const steps = [prompt, step(1, {}, 10), step(2, {}, 30)];
    expect(barScale(steps)).toBe(30);
    expect(barScale([prompt])).toBe(4000);
    expect(meanTimes([prompt])).toBeNull();
    const mean = meanTimes(steps)!;
    expect(mean).toMatchObject({ tokens: 2, ms: 20, times: { computeMs: 17, readBackMs: 1, stallMs: 2, fetchMs: 0 } });
    expect(timesText(mean.ms, mean.times)).toBe("20 ms: compute 17 ms, read-back 1.0 ms, stall 2.0 ms");
  });
});

describe("advice", () => {
  const at = (slots: number, hitRate: number, loadsPerToken: number) => ({ slots, hitRate, loadsPerToken });
  const advice: Advice = { verdict: "more", now: at(16, 0.62, 9.1), more: at(20, 0.71, 7), fewer: at(12, 0.5, 12) };

  test("names the figures that the verdict rests on", () => {
    expect(adviceText(advice)).toMatch(/More room.*20 experts a layer.*71 %.*7\.00.*62 %/);
    expect(adviceText({ ...advice, verdict: "fewer" })).toMatch(/Less room.*12 experts a layer.*50 %/);
    expect(adviceText({ ...advice, verdict: "keep" })).toMatch(/suits this text.*62 %/);
    expect(adviceText({ ...advice, verdict: "unknown" })).not.toMatch(/\d/);
  });
});
