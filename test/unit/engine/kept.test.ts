/** What a rewind would keep computed: bounded by what was computed, by the path it took, and by what rings still hold. */
import { expect, test } from "vitest";
import { type Phase, Timeline } from "../../../src/engine/timeline.ts";

const WINDOW = 8;
const CHUNK = 4;
const ALL = { window: null, capacity: 100 };
const RING = { window: WINDOW, capacity: WINDOW - 1 + CHUNK };

/** A timeline that computed `runs` of tokens one after another. */
function timeline(
  rings: readonly { window: number | null; capacity: number }[],
  ...runs: readonly (readonly [Phase, number])[]
) {
  const made = new Timeline(100, 10, rings);
  for (const [phase, count] of runs) {
    made.append(Array(count).fill(1), phase);
    made.begins(made.length);
    made.finished(made.length);
  }
  return made;
}

test("all that was computed, where every layer sees all", () => {
  const made = timeline([ALL], ["prefill", 10], ["decode", 20]);
  made.append([1], "decode"); // waits for its step
  expect([5, 10, 30, 31].map((length) => made.kept(length))).toEqual([5, 10, 30, 30]);
});

test("only what took the path that is asked for", () => {
  const made = timeline([ALL], ["prefill", 10], ["decode", 20], ["prefill", 5]);
  expect(made.kept(35, "prefill")).toBe(10);
  expect(made.kept(7, "prefill")).toBe(7);
  expect(timeline([ALL], ["decode", 3]).kept(3, "prefill")).toBe(0);
});

test("nothing where a ring has lost what the window before it needs", () => {
  const made = timeline([ALL, RING], ["prefill", 20]);
  expect(made.kept(20)).toBe(20);
  expect(made.kept(20 - CHUNK)).toBe(20 - CHUNK);
  expect(made.kept(20 - CHUNK - 1)).toBe(0);
  expect(made.kept(0)).toBe(0);
});

test("asking changes nothing, and a rewind keeps what was said", () => {
  const made = timeline([RING], ["prefill", 20]);
  for (const length of [20, 17, 16, 3]) made.kept(length);
  expect(made.computed).toBe(20);
  made.rewind(16);
  expect(made.computed).toBe(16);
  made.rewind(3);
  expect(made.computed).toBe(0);
});
