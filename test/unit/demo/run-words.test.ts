/** What canRun answers, in words: what a reader decides by, with nothing said twice. */
import { describe, expect, test } from "vitest";
import { assumptionText, linesOf, percentOf } from "../../../demo/models/run-words.ts";
import type { MemoryFacts, RunAnswer, SpeedEstimate } from "../../../src/index.ts";

const speed = (tokensPerSecond: number) => ({ tokensPerSecond }) as SpeedEstimate;
const ANSWER = {
  verdict: "runs-paged",
  suggestedBudgetBytes: 2e9,
  speed: { resident: speed(30), suggested: speed(12.34), suggestedFromLink: speed(1.5) },
  firstToken: {
    promptTokens: 32,
    bytes: 9e8,
    headerBytes: 1e7,
    denseBytes: 5e8,
    expertBytes: 3.9e8,
    expertShare: 0.2,
    downloadSeconds: 75,
  },
  disk: { neededBytes: 4.2e9, availableBytes: 8e9, persistent: false, cachedBytes: 0, cachedExpertShare: 0 },
} as unknown as RunAnswer;

describe("an answer", () => {
  test("is told in the order of interest", () => {
    expect(linesOf(ANSWER)).toEqual([
      "Suggested GPU budget: 2.0 GB.",
      "Expected at that budget: 12.3 tok/s, and 1.50 tok/s on a first visit over this link. With every expert on the " +
        "GPU: 30.0 tok/s.",
      "Before the first word: 900 MB (500 MB of it the dense part, 390 MB experts for a prompt of 32 tokens), 75 s over " +
        "this link.",
      "On disk: 4.2 GB for the whole model, 8.0 GB are free for it.",
    ]);
  });

  test("says nothing twice, and leaves out what was not measured", () => {
    const same = { resident: speed(12.34), suggested: speed(12.34), suggestedFromLink: null };
    const disk = { ...ANSWER.disk, availableBytes: null, cachedBytes: 1e9 };
    const lines = linesOf({ ...ANSWER, speed: same, firstToken: null, disk } as RunAnswer);
    expect(lines[1]).toBe("Expected at that budget: 12.3 tok/s.");
    expect(lines[2]).toMatch(/may not store.*1\.0 GB of it are there/);
    const none = { ...ANSWER, suggestedBudgetBytes: null, speed: null, firstToken: null, disk: null } as RunAnswer;
    expect(linesOf(none)).toEqual([]);
  });

  test("rests on numbers with their units", () => {
    const text = "measured here";
    expect(assumptionText({ name: "a", value: 0.62, unit: "share", text })).toBe("62 %: measured here");
    expect(assumptionText({ name: "a", value: 12e6, unit: "bytes/s", text })).toBe("12.0 MB a second: measured here");
  });
});

test("a budget is remembered as the share of the experts that it holds", () => {
  const memory = { fullBudgetBytes: 1100, mostResidentBytes: 1000, expertBytes: 1000 } as MemoryFacts;
  expect([1100, 600, 349, 5, 5000].map((budget) => percentOf(memory, budget))).toEqual([100, 50, 24, 1, 100]);
});
