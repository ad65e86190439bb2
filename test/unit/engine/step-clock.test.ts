/** Where a step's time went: every moment belongs to one part, and late or missing news moves nothing twice. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StepClock } from "../../../src/engine/step-clock.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

const total = (clock: StepClock) => Object.values(clock.times).reduce((sum, ms) => sum + ms, 0);

test("a step with a miss: computed, read, waited, placed, computed again", () => {
  const clock = new StepClock(0, true);
  vi.advanceTimersByTime(12);
  clock.ranAndRead({ wantDone: true, doneAt: 9, readAt: 11 });
  vi.advanceTimersByTime(41);
  clock.until("compute", 13);
  clock.fetched(6);
  vi.advanceTimersByTime(7);
  clock.ranAndRead({ wantDone: true, doneAt: 60, readAt: 60 });
  expect(clock.times).toEqual({ computeMs: 9 + 1 + 7, readBackMs: 3, stallMs: 34, fetchMs: 6, idleMs: 0 });
  expect(clock.ms).toBe(60);
  expect(total(clock)).toBe(60);
});

test("a queued step that was through before it was asked for was idle until then", () => {
  const clock = new StepClock(100, true);
  vi.advanceTimersByTime(131);
  clock.ranAndRead({ wantDone: true, doneAt: 110, readAt: 112 }, 130);
  expect(clock.times).toMatchObject({ computeMs: 10, readBackMs: 2 + 1, idleMs: 18 });
  expect(total(clock)).toBe(clock.ms);
});

test("where nobody asked when the GPU was through, or it was through before the step began, nothing is negative", () => {
  const unasked = new StepClock(0, false);
  vi.advanceTimersByTime(5);
  unasked.ranAndRead({ wantDone: false, doneAt: undefined, readAt: 5 });
  expect(unasked.times).toMatchObject({ computeMs: 5, readBackMs: 0 });
  const early = new StepClock(4, true);
  early.ranAndRead({ wantDone: true, doneAt: 2, readAt: 3 });
  early.fetched(50);
  expect(early.times).toEqual({ computeMs: 0, readBackMs: 1, stallMs: 0, fetchMs: 0, idleMs: 0 });
});
