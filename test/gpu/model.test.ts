/** Whole models against independent float64 results: logits, greedy continuations, routing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nmse } from "../reference/compare.ts";
import { openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchJson, type MaiGolden, maiFolder } from "./fixtures.ts";

// f32 sums over at most a few hundred terms: each result is off by about 1e-7 of its size, so NMSE near 1e-14 is what to
// expect; routing that flips would show as 1e-3 and more.
const BOUND = 1e-9;

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

describe.each(["base-f32", "norm-topk-bf16", "odd-f32", "long-f16", "one-token-f32"])("%s", (name) => {
  it("agrees with float64", async () => {
    const golden = await fetchJson<MaiGolden>(`/test/fixtures/mai/${name}/golden.json`);
    const { engine, gpu } = await device.engine(await openModel(maiFolder(name)), { contextLength: 700 });
    const first = await engine.createSession(700);
    const firstError = nmse(await first.prefill(golden.tokens.slice(0, 1)), golden.first_logits);
    first.dispose();

    const session = await engine.createSession(700);
    let routes: (readonly number[])[] = [];
    engine.startTrace();
    const logits = await session.prefill(golden.tokens);
    const lastStep = golden.tokens.length - 1;
    routes = golden.routes_last_token.map(() => []);
    const rows = engine.takeTrace().filter(([, , step]) => step === lastStep);
    const layers = [...new Set(rows.map(([, , , layer]) => layer))].sort((a, b) => a - b);
    routes = layers.map((layer) => rows.filter((row) => row[3] === layer).map((row) => row[5]));
    const lastError = nmse(logits, golden.last_logits);
    console.log(`${name}: NMSE first ${firstError.toExponential(1)}, last ${lastError.toExponential(1)}`);
    expect(firstError).toBeLessThan(BOUND);
    expect(lastError).toBeLessThan(BOUND);
    expect(routes).toEqual(golden.routes_last_token);

    const greedy: number[] = [];
    for (let i = 0; i < 16; i++) {
      const id = await session.sampleNext({ temperature: 0, topK: 0, topP: 1, seed: 0 });
      session.append(id);
      greedy.push(id);
    }
    expect(greedy).toEqual(golden.greedy_next_16);
    engine.dispose();
    expect(gpu.ledger.byOwner()).toEqual({});
  });
});
