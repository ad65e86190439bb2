/** What a timeline knows of its cache: after steps, rewinds, a lost device, and in another session. */
import { expect, test } from "vitest";
import { Timeline } from "../../../src/engine/timeline.ts";
import { UsageError } from "../../../src/errors.ts";

const RINGS = [
  { window: null, capacity: 32 },
  { window: 4, capacity: 8 },
];

/** `length` tokens, prefilled but for the last two, all computed. */
function computed(length: number): Timeline {
  const timeline = new Timeline(32, 100, RINGS);
  const ids = Array.from({ length }, (_, i) => i);
  timeline.append(ids.slice(0, -2), "prefill");
  timeline.append(ids.slice(-2), "decode");
  timeline.begins(length);
  timeline.finished(length);
  return timeline;
}

test("tokens are kept with the path that they took", () => {
  const timeline = computed(5);
  expect(timeline.tokens).toEqual([0, 1, 2, 3, 4]);
  expect([2, 3, 4, 5].map((position) => timeline.phaseAt(position))).toEqual([
    "prefill",
    "decode",
    "decode",
    undefined,
  ]);
  expect([timeline.computed, timeline.logitsFresh]).toEqual([5, true]);
});

test("a rewind keeps what the rings still hold, and otherwise nothing", () => {
  const near = computed(12); // the ring of 8 holds positions 4 to 11; a token at 8 sees 5 to 8
  near.rewind(8);
  expect([near.length, near.computed, near.logitsFresh]).toEqual([8, 8, false]);
  const far = computed(12);
  far.rewind(6); // sees 3
  expect([far.length, far.computed]).toEqual([6, 0]);
  expect(() => far.rewind(7)).toThrow(UsageError);
});

test("a step that did not end has written all the same", () => {
  const timeline = computed(8);
  timeline.append([1, 2, 3, 4], "prefill");
  timeline.begins(12);
  timeline.rewind(8);
  expect([timeline.computed, timeline.logitsFresh]).toEqual([8, false]);
  timeline.rewind(6);
  expect(timeline.computed).toBe(0);
});

test("after a lost device all is to be computed again, with the same tokens and paths", () => {
  const timeline = computed(5);
  const { tokens, phases } = timeline.state;
  timeline.forget();
  expect(timeline.state).toEqual({ tokens, phases, computed: 0, written: 0 });
  expect(timeline.logitsFresh).toBe(false);
});

test("a state goes on elsewhere, with what its rings lost, and voids what was queued there", () => {
  const [from, to] = [computed(12), computed(3)];
  const { rewinds } = to;
  to.restore(from.state);
  expect(to.state).toEqual(from.state);
  expect([to.logitsFresh, to.rewinds > rewinds]).toEqual([false, true]);
  to.append([9], "decode");
  expect(from.length).toBe(12);
  to.rewind(6);
  expect(to.computed).toBe(0);
});

test("ids outside the vocabulary and too many of them are refused", () => {
  const timeline = computed(30);
  expect(() => timeline.checkRoom([100])).toThrow(/Token id 100: expected .* 0 to 99/);
  expect(() => timeline.checkRoom([1, 2, 3])).toThrow(/context holds 32/);
  expect(timeline.checkRoom([1, 2])).toBeUndefined();
});
