/** `canRun` on the built-in model against what really happens in the same page: counts exactly, speeds and bytes roughly. */
import { describe, expect, it } from "vitest";
import { canRun as canRunHere } from "../../src/engine/can-run.ts";
import type { Model, RunAnswer, Stats } from "../../src/index.ts";
import { canRun, loadModel } from "../../src/index.ts";
import { maiFolder, TALES_URL } from "./fixtures.ts";

// The model is small and its adapter a processor, so what no estimate counts weighs most here: 4 in either direction.
const SPEED_FACTOR = 4;
/** Other work on the machine slows a trial and the run behind it unequally: they are tried so often together. */
const TRIALS = 3;
// What the router chooses for one prompt, and blocks that are read whole: 1.6 in either direction.
const BYTES_FACTOR = 1.6;
const PAGED_BUDGET = 12_000_000;
const PROMPT = "Once upon a time there was a little girl who lived in a house near the forest.";

const source = new URL(TALES_URL, location.href);

function within(factor: number, expected: number, measured: number): void {
  expect(measured / expected).toBeGreaterThan(1 / factor);
  expect(measured / expected).toBeLessThan(factor);
}

const assumed = ({ assumptions }: RunAnswer, name: string): number =>
  assumptions.find((each) => each.name === name)?.value ?? Number.NaN;

/** Counters of `tokens` decoded tokens, and the network bytes at the first of all. */
async function generate(
  model: Model,
  tokens: number,
): Promise<{ stats: Stats; firstBytes: number; promptTokens: number }> {
  const session = await model.createSession();
  const prompt = await model.encode(PROMPT);
  await session.prefill(prompt);
  const firstBytes = (await model.stats()).networkBytes;
  for await (const _ of session.generate({ maxTokens: tokens, stopIds: [] }));
  await session.dispose();
  return { stats: await model.stats(), firstBytes, promptTokens: prompt.length };
}

/** Holds a trial to the run behind it. */
async function agrees(
  what: string,
  trial: () => Promise<number | undefined>,
  run: () => Promise<number>,
): Promise<void> {
  const seen: string[] = [];
  for (let i = 0; i < TRIALS; i++) {
    const expected = (await trial()) ?? Number.NaN;
    const measured = await run();
    seen.push(`${what}: expected ${expected.toFixed(1)} tokens a second, measured ${measured.toFixed(1)}`);
    if (measured < expected * SPEED_FACTOR && measured > expected / SPEED_FACTOR) {
      console.log(seen.join("\n"));
      return;
    }
  }
  expect.fail(seen.join("\n"));
}

/** Tokens a second of `tokens` more tokens. */
async function decodeSpeed(model: Model, tokens: number): Promise<number> {
  const before = await model.stats();
  const { stats: after } = await generate(model, tokens);
  return (1000 * (after.decodeTokens - before.decodeTokens)) / (after.decodeMs - before.decodeMs);
}

describe("the built-in model", () => {
  it("whole: verdict, counts, speed, disk", async () => {
    const answer = await canRun(source, { contextLength: 512 });
    expect(answer).toMatchObject({ verdict: "runs", reasons: [{ code: "fits" }], model: { unsupported: [] } });
    expect(answer.suggestedBudgetBytes).toBe(answer.model.description?.memory.fullBudgetBytes);
    expect(answer.warnings.map(({ code }) => code)).toContain("software-adapter");
    expect(answer.disk?.neededBytes).toBeGreaterThan(answer.firstToken?.bytes ?? Number.NaN);
    expect(answer.disk?.availableBytes).toBeGreaterThan(0);
    expect(answer.bytesRead).toBeLessThan(0.15 * (answer.disk?.neededBytes ?? 0));

    const model = await loadModel(source, { allResident: true, cache: false, contextLength: 512 });
    const { stats } = await generate(model, 4);
    expect(stats.decodeDispatches / stats.decodeTokens).toBe(assumed(answer, "dispatchesPerToken"));
    const weightBytes = stats.decodeWeightBytesRead / stats.decodeTokens;
    within(1.001, assumed(answer, "weightBytesPerToken"), weightBytes); // the embedding's row is left out
    const again = () => canRun(source, { contextLength: 512, link: false, remeasure: true });
    await agrees(
      "resident",
      async () => (await again()).speed?.resident?.tokensPerSecond,
      () => decodeSpeed(model, 6),
    );
    expect(await model.dispose()).toEqual({});
  });

  it("paged: verdict, speed, bytes before the first token", async () => {
    const options = { gpuBudgetBytes: PAGED_BUDGET, contextLength: 512 };
    const answer = await canRun(source, { ...options, promptTokens: 18 });
    expect(answer).toMatchObject({
      verdict: "runs-paged",
      reasons: [{ code: "paged" }],
      suggestedBudgetBytes: PAGED_BUDGET,
    });
    const { speed, firstToken } = answer;
    expect(speed?.suggested.tokensPerSecond).toBeLessThan(speed?.resident?.tokensPerSecond ?? 0);
    expect(speed?.suggestedFromLink?.tokensPerSecond).toBeLessThanOrEqual(speed?.suggested.tokensPerSecond ?? 0);

    const model = await loadModel(source, { ...options, cache: false });
    const first = await generate(model, 6); // and the RAM tier fills
    expect(first.promptTokens).toBe(18);
    console.log(`first token: expected ${firstToken?.bytes} bytes, fetched ${first.firstBytes}`);
    within(BYTES_FACTOR, firstToken?.bytes ?? Number.NaN, first.firstBytes);
    await agrees(
      "paged",
      async () => (await canRun(source, { ...options, link: false, remeasure: true })).speed?.suggested.tokensPerSecond,
      () => decodeSpeed(model, 6),
    );
    expect(await model.dispose()).toEqual({});
  });

  it("a budget below the smallest does not run, and says which would", async () => {
    const answer = await canRun(source, { gpuBudgetBytes: 1_000_000, link: false });
    expect(answer).toMatchObject({ verdict: "does-not-run", suggestedBudgetBytes: null, speed: null, link: null });
    const least = answer.model.description?.memory.minBudgetBytes;
    expect(answer.reasons).toEqual([
      { code: "not-enough-memory", text: expect.stringContaining(`smallest that works is ${least}`) },
    ]);
  });

  it("an abort ends it", async () => {
    const stop = new AbortController();
    const answering = canRun(source, { signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    await expect(answering).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("elsewhere", () => {
  const open = async () => maiFolder("one-token-f32");

  it("without WebGPU: an answer with the reason, and still what the model is", async () => {
    const answer = await canRunHere({ gpu: undefined }, { open, isRemote: false }, {});
    expect(answer).toMatchObject({ verdict: "does-not-run", adapter: null, device: null, disk: null, assumptions: [] });
    expect(answer.reasons).toEqual([{ code: "no-webgpu", text: expect.stringContaining("navigator.gpu is missing") }]);
    expect(answer.model.description?.numLayers).toBeGreaterThan(0);
  });

  it("files at hand: no link, no disk; a missing one is an error", async () => {
    const place = { gpu: navigator.gpu, deviceMemory: 4, measured: [] };
    const answer = await canRunHere(place, { open, isRemote: false }, {});
    expect(answer).toMatchObject({ verdict: "runs", link: null, disk: null, firstToken: { downloadSeconds: null } });
    // What was measured stands, until it is measured again.
    expect((await canRunHere(place, { open, isRemote: false }, {})).device).toEqual(answer.device);
    const again = await canRunHere(place, { open, isRemote: false }, { remeasure: true });
    expect(again.device).not.toEqual(answer.device);
    expect((await canRunHere(place, { open, isRemote: false }, {})).device).toEqual(again.device);
    await expect(canRun(`${location.origin}/test/nowhere.gguf`)).rejects.toMatchObject({ code: "http-404" });
  });
});
