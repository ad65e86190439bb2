/** Configurations with any values at all: a model whose weights all fit, or a named error, within moments. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { openGgufBytes, openMai } from "../../fixtures/files.ts";
import { maiGgufTwin } from "../../fixtures/mai-twin.ts";

const hf = await openMai("one-token-f32");
const twin = await openGgufBytes(await maiGgufTwin(hf, "F32"));

const VALUES = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    0,
    -1,
    1,
    2,
    64,
    65,
    4096,
    2 ** 20,
    2 ** 31,
    2 ** 53,
    1e308,
    2n ** 63n,
    undefined,
    Number.NaN,
  ),
  fc.array(fc.constantFrom<unknown>(true, false, "dense", "sparse", "full_attention"), { maxLength: 8 }),
);

test.each([
  ["config.json", hf],
  ["GGUF metadata", twin],
] as const)("%s", (_, checkpoint) => {
  const keys = Object.keys(checkpoint.config);
  const edits = fc.array(fc.tuple(fc.constantFrom(...keys), VALUES), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(edits, (changes) => {
      openOrRefuse({ ...checkpoint, config: { ...checkpoint.config, ...Object.fromEntries(changes) } });
    }),
    { numRuns: 2000 },
  );
});

function openOrRefuse(checkpoint: Checkpoint): void {
  try {
    const { spec, names } = describeModel(checkpoint);
    expect(createWeightMap(checkpoint, spec, names).denseBytes).toBeGreaterThan(0);
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof UnsupportedError)) throw error;
  }
}

test("the largest claims that pass are refused by the tensor table, fast", () => {
  const claims = { num_experts: 4096, num_hidden_layers: 1024, vocab_size: 2 ** 24, hidden_size: 2 ** 20 };
  const kinds = { layer_types: Array(1024).fill("full_attention"), mlp_layer_types: Array(1024).fill("sparse") };
  const started = performance.now();
  const forged = { ...hf, config: { ...hf.config, ...claims, ...kinds } };
  const { spec, names } = describeModel(forged);
  expect(() => createWeightMap(forged, spec, names)).toThrow(FormatError);
  expect(performance.now() - started).toBeLessThan(10_000);
});
