/** Every counter against something counted elsewhere: the service that served, the events, the plan, the clock. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newSourceCounts, type SourceCounts } from "../../src/engine/counters.ts";
import type { Engine, EngineOptions } from "../../src/engine/engine.ts";
import type { Session } from "../../src/engine/session.ts";
import type { MemoryPlan, Stats, StepEvent } from "../../src/engine/types.ts";
import { generate } from "../../src/generate/generate.ts";
import { loadModel } from "../../src/index.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { type Answer, answer, budgetFor, difference, openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchJson, type MaiGolden } from "./fixtures.ts";
import { fetchFolder, Service } from "./service.ts";

const CONTEXT = 64;
const STEPS = 12;
// base-f32: three dense and three MoE layers, 16 experts of 3 x 32 x 48 floats, top-4.
const MOE_LAYERS = [1, 3, 5];
const TOP_K = 4;
const PARTS = ["computeMs", "readBackMs", "stallMs", "fetchMs", "idleMs"] as const;
const EXPERT_BYTES = 3 * 32 * 48 * 4;
const FORWARD_DISPATCHES = 1 + 3 * 7 + 3 * 10 + 1 + 1; // embedding, dense layers, MoE layers, final norm, head

let device: SharedDevice;
let folder: Record<string, Uint8Array<ArrayBuffer>>;
let golden: MaiGolden;
let prompt: number[];
let plan: MemoryPlan;

interface Rig {
  readonly service: Service;
  readonly engine: Engine;
  readonly session: Session;
  readonly events: StepEvent[];
  /** What the source hooks counted. */
  readonly source: SourceCounts;
}

async function withEngine(options: EngineOptions, run: (rig: Rig) => Promise<void>): Promise<void> {
  const service = new Service(folder);
  const source = newSourceCounts();
  const files = openFileSet(service.url, {
    fetch: service.fetch,
    retryDelaysMs: [1, 1],
    onBytes: (origin, bytes) => {
      source[`${origin}Bytes`] += bytes;
    },
    onRetry: () => {
      source.retries += 1;
    },
  });
  const { engine } = await device.engine(await openModel(files), {
    contextLength: CONTEXT,
    sourceCounts: source,
    ...options,
  });
  const events: StepEvent[] = [];
  engine.watch((event) => events.push(event));
  await run({ service, engine, session: await engine.createSession(), events, source });
  engine.dispose();
}

/** What `run` added to every plain counter. */
async function added(engine: Engine, run: () => Promise<unknown>): Promise<Record<keyof Stats, number>> {
  const before = engine.stats();
  await run();
  const after = engine.stats();
  const keys = Object.keys(after) as (keyof Stats)[];
  return Object.fromEntries(keys.map((key) => [key, Number(after[key]) - Number(before[key])])) as Record<
    keyof Stats,
    number
  >;
}

beforeAll(async () => {
  device = await shareDevice();
  folder = await fetchFolder("base-f32");
  golden = await fetchJson<MaiGolden>("/test/fixtures/mai/base-f32/golden.json");
  prompt = golden.tokens.slice(0, 10);
  await withEngine({}, async ({ engine }) => {
    plan = engine.memory();
  });
});
afterAll(() => expect(device.complaints).toEqual([]));

describe("work per token", () => {
  it("is one submission, one read-back and the dispatches of the plan when every expert is there", () =>
    withEngine({}, async ({ engine, session }) => {
      await answer(session, prompt, STEPS);
      session.rewind(prompt.length);
      const ids = session.tokens;
      expect(ids).toEqual(prompt);
      await session.prefill([3]); // what follows was all chosen before, or is fetched by the first run below
      const twice = async () => {
        session.rewind(prompt.length);
        for (let id = 0; id < STEPS; id++) await session.decode(id * 11);
      };
      await twice();
      const clean = await added(engine, twice);
      expect(clean).toMatchObject({
        decodeTokens: STEPS,
        cleanSteps: STEPS,
        decodeRounds: STEPS,
        decodeSubmissions: STEPS,
        decodeReadbacks: STEPS,
        decodeDispatches: STEPS * FORWARD_DISPATCHES,
        submissions: STEPS,
        readbacks: STEPS,
        dispatches: STEPS * FORWARD_DISPATCHES,
        expertHits: STEPS * MOE_LAYERS.length * TOP_K,
        expertMisses: 0,
        expertsFetched: 0,
        evictions: 0,
        networkBytes: 0,
        stallMs: 0,
        prefillTokens: 0,
      });
      expect(clean.decodeMs).toBeGreaterThan(0);
      const experts = STEPS * MOE_LAYERS.length * TOP_K * EXPERT_BYTES;
      expect(clean.decodeWeightBytesRead).toBeGreaterThan(experts);
      expect(clean.decodeWeightBytesRead).toBeLessThanOrEqual(experts + STEPS * plan.denseBytes);
      expect(clean.weightBytesRead).toBe(clean.decodeWeightBytesRead);
    }));

  it("has one dispatch more when it samples, in the same submission", () =>
    withEngine({}, async ({ engine, session }) => {
      const run = async () => {
        session.rewind(0);
        await session.prefill(prompt);
        for await (const _ of generate(session, { maxTokens: STEPS }, [], () => undefined));
      };
      await run();
      const { decodeTokens, decodeSubmissions, decodeReadbacks, decodeDispatches } = await added(engine, run);
      // The first id is drawn from the logits of the prefill; the last one is not computed yet.
      expect(decodeTokens).toBe(STEPS - 1);
      expect([decodeSubmissions, decodeReadbacks]).toEqual([STEPS - 1, STEPS - 1]);
      expect(decodeDispatches).toBe((STEPS - 1) * (FORWARD_DISPATCHES + 1));
    }));

  it("of a response is what its own session ran since its prefill", () =>
    withEngine(smallest(3), async ({ engine, session }) => {
      const other = await engine.createSession(16);
      expect(session.response).toBeUndefined();
      const respond = async () => {
        session.rewind(0);
        await session.prefill(prompt.slice(0, 4));
        await session.prefill(prompt.slice(4));
        await Promise.all([other.prefill([1, 2, 3]), session.decode(5)]);
        for await (const _ of generate(session, { maxTokens: 3 }, [], () => undefined));
        return session.response!;
      };
      await respond();
      const before = engine.stats();
      const [second, after] = [await respond(), engine.stats()];
      // The timeline: a prompt, token 5, and three drawn tokens, the last of which is not computed.
      expect(second).toMatchObject({ prefillTokens: prompt.length, decodeTokens: 3 });
      expect(after.prefillTokens - before.prefillTokens).toBe(prompt.length + 3);
      expect(second.decodeRounds).toBe(after.decodeRounds - before.decodeRounds);
      expect(second.submissions).toBeLessThan(after.submissions - before.submissions);
      const shared = ["expertHits", "expertMisses", "expertBytesFetched", "networkBytes", "stallMs"] as const;
      for (const name of shared) {
        expect(second[name], name).toBeGreaterThan(0);
        expect(second[name], name).toBeLessThan(after[name] - before[name]);
      }
    }));

  it("of a prefill is a read-back for every MoE layer and one for the logits", () =>
    withEngine({}, async ({ engine, session }) => {
      const { prefillTokens, prefillMs, readbacks, submissions, decodeSubmissions } = await added(engine, () =>
        session.prefill(prompt),
      );
      expect(prefillTokens).toBe(prompt.length);
      expect(prefillMs).toBeGreaterThan(0);
      expect(readbacks).toBe(MOE_LAYERS.length + 1);
      expect(submissions).toBeGreaterThan(readbacks);
      expect(decodeSubmissions).toBe(0);
    }));
});

describe("paging", () => {
  it.each(["lru", "successor"] as const)("events, counters, residency and served bytes tell one story (%s)", (policy) =>
    withEngine({ policy, ...smallest() }, async ({ engine, session, events, service, source }) => {
      const resident = new Map(MOE_LAYERS.map((layer) => [layer, new Set<number>()]));
      let [hits, misses, fetchedCount, evictedCount, replayed] = [0, 0, 0, 0, 0];
      const servedBefore = service.servedBytes;
      const follow = () => {
        for (const { layers } of events.splice(0)) {
          expect(layers.map(({ layer }) => layer)).toEqual(MOE_LAYERS);
          for (const { layer, chosen, fetched, evicted } of layers) {
            const now = resident.get(layer)!;
            misses += chosen.filter((expert) => fetched.includes(expert)).length;
            hits += chosen.filter((expert) => !fetched.includes(expert)).length;
            fetchedCount += fetched.length;
            evictedCount += evicted.length;
            // An expert may come and go within one prefill: what is left is the balance.
            for (const expert of new Set([...fetched, ...evicted])) {
              const balance = Number(now.has(expert)) + count(fetched, expert) - count(evicted, expert);
              if (balance === 1) now.add(expert);
              else now.delete(expert);
            }
          }
        }
        for (const { layer, resident: flags } of engine.residency()) {
          const there = flags.flatMap((flag, expert) => (flag ? [expert] : []));
          expect(
            [...resident.get(layer)!].sort((a, b) => a - b),
            `layer ${layer}`,
          ).toEqual(there);
          expect(there.length).toBeLessThanOrEqual(TOP_K);
        }
      };
      const total = await added(engine, async () => {
        const logits = await session.prefill(prompt);
        expect(logits.length).toBe(300);
        expect(events.map(({ phase, position, tokens }) => [phase, position, tokens])).toEqual([["prefill", 9, 10]]);
        follow();
        for (let step = 0; step < STEPS; step++) {
          const { decodeRounds, decodeSubmissions, decodeReadbacks } = await added(engine, () => session.decode(step));
          expect([decodeSubmissions, decodeReadbacks]).toEqual([decodeRounds, decodeRounds]);
          replayed += decodeRounds - 1;
          const [event] = events;
          expect(event).toMatchObject({ phase: "decode", position: prompt.length + step, tokens: 1 });
          expect(event!.ms).toBeGreaterThan(0);
          for (const { chosen } of event!.layers) expect(new Set(chosen).size).toBe(TOP_K);
          follow();
        }
      });
      expect(total).toMatchObject({
        expertHits: hits,
        expertMisses: misses,
        expertsFetched: fetchedCount,
        evictions: evictedCount,
        decodeRounds: STEPS + replayed,
        decodeTokens: STEPS,
      });
      expect(Math.min(hits, misses, evictedCount, replayed)).toBeGreaterThan(0);
      expect(total.cleanSteps).toBeLessThan(STEPS);
      expect(total.networkBytes).toBe(service.servedBytes - servedBefore);
      expect(source.networkBytes).toBe(service.servedBytes);
      // Guesses that found no slot were read too.
      const reads = total.expertBytesFetched / EXPERT_BYTES;
      expect(reads).toBeGreaterThanOrEqual(fetchedCount);
      expect(reads).toBeLessThanOrEqual(fetchedCount + total.prefetchesWasted);
      expect(total.networkBytes).toBe(total.expertBytesFetched);
      expect(total.stallMs).toBeGreaterThan(0);
    }),
  );

  it("the parts of a step's time add up to it, and waiting for experts is what the counters say", () =>
    withEngine(smallest(), async ({ engine, session, events, service }) => {
      service.latencyMs = () => 15;
      const before = engine.stats();
      await session.prefill(prompt);
      for (let step = 0; step < STEPS; step++) await session.decode(step);
      const after = engine.stats();
      const sum = { computeMs: 0, readBackMs: 0, stallMs: 0, fetchMs: 0, idleMs: 0 };
      for (const { ms, times, layers } of events) {
        for (const part of PARTS) {
          expect(times[part], part).toBeGreaterThanOrEqual(0);
          sum[part] += times[part];
        }
        expect(PARTS.reduce((all, part) => all + times[part], 0)).toBeCloseTo(ms, 6);
        expect(times.computeMs).toBeGreaterThan(0);
        expect(times.stallMs > 10).toBe(layers.some(({ fetched }) => fetched.length > 0));
      }
      expect((sum.stallMs + sum.fetchMs) / (after.stallMs - before.stallMs)).toBeCloseTo(1, 1);
      expect(sum.fetchMs).toBeCloseTo(after.placeMs - before.placeMs, 6);
      expect(Math.min(sum.readBackMs, sum.stallMs, sum.fetchMs)).toBeGreaterThan(0);
      expect(sum.idleMs).toBe(0); // each step is asked for before it is begun
    }));

  it("a step that was queued ahead of a slow reader was idle, and no other part grew", () =>
    withEngine({}, async ({ session, events }) => {
      const run = async (pauseMs: number) => {
        session.rewind(0);
        await session.prefill(prompt);
        events.length = 0;
        for await (const _ of generate(session, { maxTokens: STEPS }, [], () => undefined)) {
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
        return events.filter(({ times }) => times.idleMs > 100).map(({ ms, times }) => ms - times.idleMs);
      };
      await run(0);
      const busy = await run(150);
      expect(busy.length).toBeGreaterThan(0);
      expect(Math.min(...busy)).toBeLessThan(100);
    }));

  it("guesses are counted as used or wasted, and there are none without run-ahead", async () => {
    const counts: Record<string, Record<keyof Stats, number>> = {};
    for (const runAhead of [0, Number.POSITIVE_INFINITY]) {
      await withEngine({ ...smallest(1.5), runAhead }, async ({ engine, session }) => {
        counts[runAhead] = await added(engine, () => answer(session, prompt, STEPS));
      });
    }
    const [plain, ahead] = [counts["0"]!, counts.Infinity!];
    expect(plain).toMatchObject({ prefetchesUseful: 0, prefetchesWasted: 0 });
    expect(ahead.prefetchesUseful).toBeGreaterThan(0);
    expect(ahead.prefetchesWasted).toBeGreaterThan(0);
    expect(ahead.decodeRounds).toBeLessThan(plain.decodeRounds);
    expect(ahead.expertBytesFetched).toBeGreaterThanOrEqual(plain.expertBytesFetched);
  });

  it("a broken connection is a retry, and a slow one is a stall and a late first token", () =>
    withEngine(smallest(), async ({ engine, session, service }) => {
      const SLOW_MS = 40;
      service.latencyMs = () => SLOW_MS;
      const broken = new Set<number>();
      service.mishap = ({ end }) => {
        if (broken.size === 3 || broken.has(end)) return undefined;
        broken.add(end);
        return 503;
      };
      const start = performance.now();
      await session.prefill(prompt);
      expect(engine.stats().timeToFirstTokenMs).toBe(0);
      for await (const _ of generate(session, { maxTokens: 1 }, [], () => undefined));
      const elapsed = performance.now() - start;
      const { retries, stallMs, timeToFirstTokenMs, prefillMs } = engine.stats();
      expect(retries).toBe(3);
      expect(stallMs).toBeGreaterThan(MOE_LAYERS.length * SLOW_MS);
      expect(stallMs).toBeLessThan(prefillMs);
      expect(timeToFirstTokenMs).toBeGreaterThan(stallMs);
      expect(timeToFirstTokenMs).toBeLessThanOrEqual(elapsed);
    }));
});

describe("bytes", () => {
  it("on the GPU are told by owner and agree with the plan", () =>
    withEngine({}, async ({ engine, session }) => {
      const { gpuBytes, gpuBytesTotal, gpuBytesPeak, kvBytes } = engine.stats();
      expect(gpuBytes.dense).toBe(plan.denseBytes);
      expect(gpuBytes.slots).toBe(plan.slotBytes);
      expect(gpuBytes.kv).toBe(kvBytes);
      expect(kvBytes).toBe(session.kvBytes);
      expect(plan.slotBytes).toBe(MOE_LAYERS.length * 16 * EXPERT_BYTES);
      await session.prefill(prompt);
      const busy = engine.stats();
      expect(Object.keys(busy.gpuBytes).sort()).toEqual(["dense", "kv", "scratch", "slots", "staging", "tables"]);
      expect(Object.values(busy.gpuBytes).reduce((sum, bytes) => sum + bytes)).toBe(busy.gpuBytesTotal);
      expect(busy.gpuBytesTotal).toBeGreaterThan(gpuBytesTotal);
      expect(busy.gpuBytesPeak).toBeGreaterThanOrEqual(Math.max(gpuBytesPeak, busy.gpuBytesTotal));
      expect(busy.gpuBytesPeak).toBeLessThanOrEqual(engine.memory().budgetBytes);
      const small = await engine.createSession(8);
      expect(engine.stats().kvBytes).toBe(session.kvBytes + small.kvBytes);
      expect(small.kvBytes).toBeLessThan(session.kvBytes);
      small.dispose();
      expect(engine.stats().kvBytes).toBe(session.kvBytes);
    }));

  it("are counted by where they came from", async () => {
    const files = Object.entries(folder).map(([name, bytes]) => ({ name, bytes }));
    const picked = files.map(({ name, bytes }) => new File([bytes], name));
    const url = `${location.origin}/test/fixtures/mai/base-f32/`;
    for (const [origin, source] of [
      ["memoryBytes", files],
      ["fileBytes", picked],
      ["networkBytes", url],
    ] as const) {
      const model = await loadModel(source, { contextLength: CONTEXT, cache: false });
      const stats = await model.stats();
      await model.dispose();
      for (const key of ["memoryBytes", "fileBytes", "networkBytes"] as const) {
        if (key === origin) expect(stats[key]).toBeGreaterThanOrEqual(plan.denseBytes);
        else expect(stats[key], `${key} of ${origin}`).toBe(0);
      }
      expect(stats.expertBytesFetched).toBe(0); // no expert is read before one is chosen
    }
  });
});

it("experts that lost their slot come from the RAM tier, within its budget, and change no bit", async () => {
  const run = async (ramBudgetBytes: number) => {
    const seen = { network: 0, stats: {} as Partial<Stats>, answer: { ids: [], bits: [] } as Answer };
    // No guesses, which may come late: both runs then want the same experts.
    const options = { gpuBudgetBytes: plan.minBudgetBytes, ramBudgetBytes, runAhead: 0 };
    await withEngine(options, async ({ engine, session, service }) => {
      seen.answer = await answer(session, prompt, STEPS);
      seen.stats = engine.stats();
      seen.network = service.servedBytes;
    });
    return seen;
  };
  const [without, held] = [await run(0), await run(1 << 20)];
  expect(difference(held.answer, without.answer)).toBe("");
  expect(without.stats).toMatchObject({ ramHits: 0, ramBytes: 0, ramHeldBytes: 0 });
  const { ramHits = 0, ramBytes = 0, ramHeldBytes = 0 } = held.stats;
  expect(ramHits).toBeGreaterThan(0);
  expect(ramHeldBytes).toBeGreaterThan(0);
  expect(ramHeldBytes).toBeLessThanOrEqual(1 << 20);
  expect(without.network - held.network).toBe(ramBytes); // F32: an expert takes as many bytes in its slot as in the file
});

describe("the routing trace", () => {
  it("has a row for every rank of every layer of every token, as float64 chose them", () =>
    withEngine({}, async ({ engine, session }) => {
      engine.startTrace();
      await session.prefill(golden.tokens);
      await session.decode(7);
      await session.prefill([1, 2]);
      const rows = engine.takeTrace();
      const perToken = MOE_LAYERS.length * TOP_K;
      const { length } = golden.tokens;
      expect(rows.length).toBe((length + 3) * perToken);
      const expected = Array.from({ length: length + 3 }, (_, step) =>
        MOE_LAYERS.flatMap((layer) =>
          Array.from({ length: TOP_K }, (_unused, rank) => [
            step > length ? 1 : 0,
            step === length ? 1 : 0,
            step,
            layer,
            rank,
          ]),
        ),
      ).flat();
      expect(rows.map(([turn, phase, step, layer, rank]) => [turn, phase, step, layer, rank])).toEqual(expected);
      const last = rows.slice((length - 1) * perToken, length * perToken);
      expect(MOE_LAYERS.map((_, i) => last.slice(i * TOP_K, (i + 1) * TOP_K).map((row) => row[5]))).toEqual(
        golden.routes_last_token,
      );
      for (let i = 0; i < rows.length; i += TOP_K) {
        const weights = rows.slice(i, i + TOP_K).map((row) => row[6]);
        expect(weights).toEqual(weights.toSorted((a, b) => b - a));
        expect(weights.reduce((sum, weight) => sum + weight)).toBeLessThanOrEqual(1 + 1e-6);
        expect(weights.at(-1)).toBeGreaterThan(0);
      }
      expect(engine.takeTrace()).toEqual([]);
      await session.decode(8);
      expect(engine.takeTrace()).toEqual([]); // nothing is recorded before the next start
    }));
});

/** The smallest budget, or so many times top-k slots a layer. */
function smallest(times = 1): { gpuBudgetBytes: number } {
  return { gpuBudgetBytes: budgetFor(plan, 0) + (times - 1) * TOP_K * MOE_LAYERS.length * EXPERT_BYTES };
}

function count(list: readonly number[], value: number): number {
  return list.filter((item) => item === value).length;
}
