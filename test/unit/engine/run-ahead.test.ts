/** The choice of reach against machines whose costs are known: it must be what makes tokens cheapest there. */
import { describe, expect, test } from "vitest";
import { type Reach, type ReachOptions, RunAhead } from "../../../src/engine/run-ahead.ts";

interface Machine {
  readonly numMoe: number;
  readonly layerMs: number;
  readonly roundTripMs: number;
  readonly fetchMs: number;
  readonly expertMs: number;
  /** Chance that a layer misses when nobody guessed, and when somebody did; with hints a tenth of that. */
  readonly miss: number;
  readonly missGuessed: number;
  /** Of a fetch, what is still to be waited for when the layer had been guessed: the rest is on its way. */
  readonly lateShare: number;
  /** Chance that a layer misses which a scout had named. */
  readonly missScouted: number;
}

const SLOW_LINK: Machine = {
  numMoe: 12,
  layerMs: 0.5,
  roundTripMs: 1,
  fetchMs: 30,
  expertMs: 1,
  miss: 0.8,
  missGuessed: 0.2,
  lateShare: 1,
  missScouted: 0.8,
};
/** As a data-centre GPU over 30 ms showed the built-in model: guesses are on their way, and a round is nothing. */
const FAST_GPU: Machine = {
  numMoe: 3,
  layerMs: 0.3,
  roundTripMs: 1.4,
  fetchMs: 30,
  expertMs: 0.1,
  miss: 0.95,
  missGuessed: 0.6,
  lateShare: 0.2,
  missScouted: 0.9,
};
/** The same where the next token is mostly what it seems to be. */
const FORESEEN: Machine = { ...FAST_GPU, missScouted: 0.2 };
const SLOW_GPU: Machine = { ...SLOW_LINK, layerMs: 20, fetchMs: 0.2, expertMs: 0.1 };

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** MoE layers of the next token that a step has scouted. */
type Scouts = { layers: number };

/** Plays one token: what its rounds and fetches cost, told to `runAhead` as the engine does. @returns milliseconds. */
function playToken(machine: Machine, runAhead: RunAhead, random: () => number, scouts: Scouts): number {
  const { numMoe, layerMs, roundTripMs, fetchMs, expertMs, miss, missGuessed, lateShare, missScouted } = machine;
  const { reach } = runAhead;
  const scouted = scouts.layers;
  scouts.layers = 0;
  let from = -1;
  let ms = 0;
  for (let rounds = 0; ; rounds++) {
    let missed: number | undefined;
    let wasGuessed = false;
    for (let moe = from + 1; moe < numMoe && missed === undefined; moe++) {
      const guessed = rounds > 0 && moe - from <= reach.layers;
      const foreseen = rounds === 0 && moe < scouted;
      const chance = guessed ? missGuessed * (reach.hints > 0 ? 0.1 : 1) : foreseen ? missScouted : miss;
      if (random() < chance) missed = moe;
      wasGuessed = guessed || foreseen;
    }
    const computed = (missed === undefined ? numMoe : Math.min(numMoe, missed + reach.layers)) - Math.max(0, from);
    runAhead.roundTook(computed, roundTripMs + computed * layerMs);
    const report = { from, missed, guessed: rounds > 0 ? reach : undefined };
    runAhead.roundEnded(report);
    ms += roundTripMs + computed * layerMs;
    if (missed === undefined) break;
    let experts = 4;
    runAhead.wanted(4, undefined);
    for (let moe = missed + 1; moe < numMoe && moe <= missed + reach.layers; moe++) {
      runAhead.wanted(3 + reach.hints, reach);
      experts += 3 + reach.hints;
    }
    const waitMs = (fetchMs + experts * expertMs) * (wasGuessed ? lateShare : 1);
    runAhead.fetchTook(report, experts, waitMs);
    scouts.layers = Math.max(0, reach.layers - numMoe);
    if (scouts.layers > 0) runAhead.scouted(scouts.layers);
    ms += Math.max(waitMs, scouts.layers > 0 ? roundTripMs + scouts.layers * layerMs : 0);
    from = missed;
  }
  runAhead.stepEnded(true);
  return ms;
}

function play(machine: Machine, options: ReachOptions, tokens: number): { reach: Reach; msPerToken: number } {
  const runAhead = new RunAhead(machine.numMoe, options);
  const random = seeded(7);
  const scouts = { layers: 0 };
  for (let token = 0; token < tokens; token++) playToken(machine, runAhead, random, scouts); // learns
  let ms = 0;
  for (let token = 0; token < tokens; token++) ms += playToken(machine, runAhead, random, scouts);
  return { reach: runAhead.reach, msPerToken: ms / tokens };
}

const AUTO: ReachOptions = { layers: "auto", hints: "auto" };

describe("what is chosen", () => {
  test("where fetches are slow to begin, steps run on and guess more", () => {
    const { reach } = play(SLOW_LINK, AUTO, 300);
    expect(reach.layers).toBeGreaterThanOrEqual(8);
    expect(reach.hints).toBeGreaterThan(0);
  });

  test("where the GPU is slow and bytes are near, steps stop at the first miss", () => {
    expect(play(SLOW_GPU, AUTO, 300).reach.layers).toBe(0);
  });

  test("where the next token is as it seems, steps run on into it", () => {
    expect(play(FORESEEN, AUTO, 300).reach.layers).toBe(6);
    const once = play(FORESEEN, { layers: 3, hints: 0 }, 300).msPerToken;
    expect(play(FORESEEN, { layers: 6, hints: 0 }, 300).msPerToken).toBeLessThan(0.6 * once);
  });

  test("steps that cannot run on into the next token are not chosen to", () => {
    const runAhead = new RunAhead(3, AUTO);
    for (let step = 0; step < 400; step++) {
      runAhead.roundTook(3, 3);
      runAhead.roundEnded({ from: -1, missed: 0, guessed: undefined });
      runAhead.fetchTook({ from: -1, missed: 0, guessed: undefined }, 4, 30);
      runAhead.stepEnded(false);
      expect(runAhead.reach.layers).toBeLessThanOrEqual(3);
    }
  });

  test.each([SLOW_LINK, SLOW_GPU, FAST_GPU, FORESEEN])(
    "costs at most a tenth more than the best fixed reach, exploring included",
    (machine) => {
      const fixed = [0, 1, 2, 4, 8, 12, 24].flatMap((layers) =>
        [0, 4, 8].map((hints) => play(machine, { layers, hints }, 300)),
      );
      const best = Math.min(...fixed.map(({ msPerToken }) => msPerToken));
      const worst = Math.max(...fixed.map(({ msPerToken }) => msPerToken));
      expect(worst).toBeGreaterThan(best * 1.5); // the choice matters here
      expect(play(machine, AUTO, 300).msPerToken).toBeLessThan(best * 1.1);
    },
  );

  test("a change of the link is noticed", () => {
    const runAhead = new RunAhead(12, AUTO);
    const random = seeded(3);
    const scouts = { layers: 0 };
    for (let token = 0; token < 300; token++) playToken(SLOW_GPU, runAhead, random, scouts);
    expect(runAhead.reach.layers).toBe(0);
    for (let token = 0; token < 600; token++) playToken(SLOW_LINK, runAhead, random, scouts);
    expect(runAhead.reach.layers).toBeGreaterThanOrEqual(4);
  });
});

describe("what is fixed", () => {
  test.each([0, 1, 5])("%s layers stay so, and no more than two tokens have", (layers) => {
    expect(play(SLOW_LINK, { layers, hints: 0 }, 50).reach).toEqual({ layers, hints: 0 });
    expect(new RunAhead(3, { layers: Number.POSITIVE_INFINITY, hints: 2 }).reach).toEqual({ layers: 6, hints: 2 });
  });
});

test("the expected cost of a token, by hand", () => {
  const runAhead = new RunAhead(2, { layers: 0, hints: 0 });
  for (let i = 0; i < 400; i++) {
    runAhead.roundTook(1, 3); // 1 ms a round trip, 2 ms a layer
    runAhead.roundTook(2, 5);
    const report = { from: 0, missed: 1, guessed: undefined };
    runAhead.fetchTook(report, 1, 11); // 10 ms a fetch, 1 ms an expert
    runAhead.fetchTook(report, 5, 15);
    runAhead.wanted(2, undefined);
    runAhead.roundEnded(report); // every layer misses
  }
  // 1 + 2 layers of (2 to compute) + 2 misses of (1 round trip + 12 to fetch); a miss at reach 0 voids nothing.
  expect(runAhead.tokenCost({ layers: 0, hints: 0 })).toBeCloseTo(1 + 2 * 2 + 2 * 13, 3);
});
