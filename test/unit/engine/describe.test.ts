import { describe, expect, test } from "vitest";
import { type DescribeOptions, describeCheckpoint } from "../../../src/engine/describe.ts";
import { BudgetError, UsageError } from "../../../src/errors.ts";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { type DType, storedBytes } from "../../../src/formats/dtype.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import type { TensorNames } from "../../../src/models/family.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { AttentionSpec, ModelSpec } from "../../../src/models/spec.ts";
import { expectedDense } from "../../../src/weights/expected.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { folderFileSet, MAI_FOLDERS, openMai } from "../../fixtures/files.ts";

function describeOpened(checkpoint: Checkpoint, options?: DescribeOptions) {
  const { spec, names } = describeModel(checkpoint);
  return describeCheckpoint(checkpoint, spec, createWeightMap(checkpoint, spec, names), options);
}

const attention: AttentionSpec = {
  numHeads: 2,
  numKvHeads: 1,
  headDim: 4,
  window: null,
  ropeTheta: null,
  qkNorm: false,
};

/** Width 8, 10 tokens, untied; a dense layer with a window of 4, an MoE layer without. */
function smallSpec(numExperts: number): ModelSpec {
  return {
    architecture: "small",
    name: "by hand",
    hiddenSize: 8,
    vocabSize: 10,
    contextLength: 2000,
    normEps: 1e-6,
    tiedEmbeddings: false,
    stopIds: [],
    layers: [
      { attention: { ...attention, window: 4 }, mlp: { kind: "dense", innerSize: 12 }, outputNorms: false },
      {
        attention,
        mlp: {
          kind: "moe",
          numExperts,
          topK: 1,
          latentSize: null,
          innerSize: 16,
          renormalize: false,
          routingScale: 1,
        },
        outputNorms: false,
      },
    ],
  };
}

const NAMES: TensorNames = {
  model: (name) => name,
  layer: (layer, name) => `${layer}.${name}`,
  experts: (layer, matrix) => ({ kind: "stacked", name: `${layer}.experts.${matrix}` }),
};

/** Everything that the spec needs as F32, its experts as F16. */
function describeSmall(numExperts: number, options?: DescribeOptions) {
  const spec = smallSpec(numExperts);
  const tensors = new Map<string, TensorInfo>();
  const add = (name: string, dtype: DType, shape: readonly number[]): void => {
    const byteLength = storedBytes(
      dtype,
      shape.reduce((a, b) => a * b),
    );
    tensors.set(name, { name, dtype, shape, shard: 0, offset: 0, byteLength });
  };
  for (const { ref, shape } of expectedDense(spec)) {
    add(typeof ref === "string" ? ref : `${ref.layer}.${ref.name}`, "F32", shape);
  }
  for (const matrix of ["gate", "up"]) add(`1.experts.${matrix}`, "F16", [numExperts, 16, 8]);
  add("1.experts.down", "F16", [numExperts, 8, 16]);
  const checkpoint: Checkpoint = { container: "safetensors", config: {}, tensors, shards: [] };
  return describeCheckpoint(checkpoint, spec, createWeightMap(checkpoint, spec, NAMES), options);
}

describe("describeCheckpoint", () => {
  test("a small model by hand", () => {
    const facts = describeSmall(4, { contextLength: 100 });
    // Embedding and head 80 each, last norm 8. Attention and two norms of a layer 208; MLP 3 * 96; router 32.
    const dense = 80 + 80 + 8 + 2 * 208 + 288 + 32;
    expect(facts.parameters).toEqual({ total: dense + 4 * 384, active: dense + 384, experts: 4 * 384 });
    expect(facts.experts).toEqual({ perLayer: 4, topK: 1, smallestBytes: 768, largestBytes: 768 });
    expect(facts).toMatchObject({ numLayers: 2, numDenseLayers: 1, numMoeLayers: 1, contextLength: 2000 });
    expect(facts.memory).toMatchObject({ contextLength: 100, denseBytes: dense * 4, expertBytes: 4 * 768 });
    // One expert must be resident, four can be.
    expect(facts.memory.fullBudgetBytes - facts.memory.minBudgetBytes).toBe(3 * 768);
    expect(facts.memory.mostResidentBytes).toBe(4 * 768);
    const bytes = dense * 4 + 4 * 768;
    expect(facts.storage).toEqual([
      { dtype: "F32", bytes: dense * 4, share: (dense * 4) / bytes },
      { dtype: "F16", bytes: 4 * 768, share: (4 * 768) / bytes },
    ]);
    // 16 bytes a position for keys, as many for values; the window's ring has 3 + 128 positions.
    expect(facts.kv).toEqual({
      bytes: 2 * 100 * 32,
      bytesPer1000Tokens: 32_000,
      bytesAtFullContext: (131 + 2000) * 32,
      longestContext: 2000,
    });
  });

  test("small bindings bound the context and the residents", () => {
    expect(describeSmall(4, { maxBindingBytes: 16_000 }).kv.longestContext).toBe(1000);
    const { expertBytes, mostResidentBytes } = describeSmall(8, { maxBindingBytes: 800 }).memory;
    expect([expertBytes, mostResidentBytes]).toEqual([8 * 768, 4 * 768]);
    expect(() => describeSmall(4, { maxBindingBytes: 700 })).toThrow(BudgetError);
  });

  test("a context is clamped to the model's; a senseless one is refused", () => {
    expect(describeSmall(4).memory.contextLength).toBe(2000);
    for (const contextLength of [0, 1.5, Number.NaN]) {
      expect(() => describeSmall(4, { contextLength })).toThrow(UsageError);
    }
  });

  test("a fixture by hand: tied embeddings count once", async () => {
    const { parameters, experts } = describeOpened(await openMai("base-f32"));
    // Embedding and last norm 19,264; attention and norms 6 * 12,576; MLPs 3 * 12,288; routers and latents 3 * 5,120.
    const dense = 19_264 + 6 * 12_576 + 3 * 12_288 + 3 * 5120;
    expect(parameters).toEqual({ total: dense + 48 * 4608, active: dense + 12 * 4608, experts: 48 * 4608 });
    expect(experts).toEqual({ perLayer: 16, topK: 4, smallestBytes: 4608 * 4, largestBytes: 4608 * 4 });
  });

  test.each(MAI_FOLDERS)("%s: parameters are the elements of its tensors", async (folder) => {
    const checkpoint = await openMai(folder);
    const sizes = [...checkpoint.tensors.values()].map(({ shape }) => shape.reduce((a, b) => a * b));
    const facts = describeOpened(checkpoint);
    expect(facts.parameters.total).toBe(sizes.reduce((a, b) => a + b));
    expect(facts.storage.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    expect(structuredClone(facts)).toEqual(facts);
  });

  test("the built-in model has the parameters of its card", async () => {
    const folder = "demo/public/models/octavo-tales";
    const files = folderFileSet(folder, ["octavo-tales-q8_0.gguf"]);
    const { parameters, experts, memory } = describeOpened(await openCheckpoint(files));
    expect((parameters.total / 1e6).toFixed(1)).toBe("17.2");
    expect((parameters.active / 1e6).toFixed(1)).toBe("4.8");
    expect(experts).toMatchObject({ perLayer: 64, topK: 8 });
    expect(memory.contextLength).toBe(512);
    expect(memory.mostResidentBytes).toBe(memory.expertBytes);
  });
});
