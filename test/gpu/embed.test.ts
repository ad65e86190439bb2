/** Embeddings against float64: the mean of the last hidden states behind the final norm, over any number of chunks. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { embedTexts } from "../../src/engine/embed.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { nmse } from "../reference/compare.ts";
import { createReference } from "../reference/forward.ts";
import { loadSafetensors, maiModel } from "../reference/load.ts";
import { openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchFolder, Service } from "./service.ts";

// f32 sums over at most a few hundred terms, and a mean in float64: as in model.test.ts.
const BOUND = 1e-9;
const TEXTS = [[7], [5, 266, 17], Array.from({ length: 21 }, (_, i) => (i * 37 + 11) % 300)];

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

it("agrees with the reference, whatever the chunks; leaves nothing; refuses what is empty or too long", async () => {
  const folder = await fetchFolder("base-f32");
  const service = new Service(folder);
  const model = await openModel(openFileSet(service.url, { fetch: service.fetch }));
  const { spec, tensor } = maiModel(loadSafetensors(folder["config.json"]!, folder["model.safetensors"]!));
  const reference = createReference(spec, tensor);
  const expected = TEXTS.map((ids) => {
    const { hidden } = reference.forward(ids);
    return Float64Array.from({ length: spec.hiddenSize }, (_, column) => {
      return ids.reduce((sum, _, t) => sum + (hidden[t * spec.hiddenSize + column] ?? 0), 0) / ids.length;
    });
  });

  const { engine, gpu } = await device.engine(model, { contextLength: 32, prefillChunk: 8 });
  const { minBudgetBytes, kvBytes } = engine.memory();
  await engine.setBudget(minBudgetBytes + kvBytes); // room for the session beside the one that embeds
  const session = await engine.createSession();
  const logits = await session.prefill([1, 2, 3]);
  const before = { ...gpu.ledger.byOwner(), staging: 0 };
  const vectors = await embedTexts(engine, TEXTS, false);
  for (const [i, vector] of vectors.entries()) {
    expect(vector.length).toBe(spec.hiddenSize);
    expect(nmse(vector, expected[i]!), `text ${i}`).toBeLessThan(BOUND);
  }
  expect({ ...gpu.ledger.byOwner(), staging: 0 }).toEqual(before);
  const [unit] = await embedTexts(engine, [TEXTS[2]!], true);
  expect(Math.hypot(...unit!)).toBeCloseTo(1, 6);
  const length = Math.hypot(...expected[2]!);
  expect(
    nmse(
      unit!.map((value) => value * length),
      expected[2]!,
    ),
  ).toBeLessThan(BOUND);
  session.rewind(2);
  expect(await session.prefill([3])).toEqual(logits); // other sessions are as they were

  expect(await embedTexts(engine, [], false)).toEqual([]);
  await expect(embedTexts(engine, [[1], []], false)).rejects.toThrow(/at least one token/);
  const long = Array<number>(spec.contextLength + 1).fill(1);
  await expect(embedTexts(engine, [long], false)).rejects.toMatchObject({ name: "UsageError", code: "context-full" });
  await expect(embedTexts(engine, [[1, 300]], false)).rejects.toThrow(/Token id 300/);
  expect({ ...gpu.ledger.byOwner(), staging: 0 }).toEqual(before);
  expect(gpu.ledger.peakBytes).toBeLessThanOrEqual(engine.memory().fullBudgetBytes);
  engine.dispose();
  expect(gpu.ledger.byOwner()).toEqual({});
});
