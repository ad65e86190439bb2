/** Folders in a family's own form and the GGUF file of the same weights: one blueprint, and the same bytes on the GPU. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { openFileSet } from "../../../src/sources/file-set.ts";
import { dequantizeRows } from "../../../src/weights/repack.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { writeGGUF } from "../../fixtures/gguf/make-gguf.mjs";
import { folderOf } from "../../fixtures/hf-folder.ts";

/** A small file of the generator, with some of its numbers changed. */
async function ggufOf(arch: string, variant: string, config: Record<string, unknown>) {
  const folder = mkdtempSync(join(tmpdir(), "octavo-"));
  try {
    const set = { d: 32, ff: 48, effn: 32, heads: 2, kvHeads: 1, hd: 16, experts: 3, topk: 2 };
    writeGGUF(join(folder, "m.gguf"), arch, { variant, set });
    const files = openFileSet([{ name: "m.gguf", bytes: new Uint8Array(readFileSync(join(folder, "m.gguf"))) }]);
    const checkpoint = await openCheckpoint(files);
    return { ...checkpoint, config: { ...checkpoint.config, ...config } };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const SIZES = {
  hidden_size: 32,
  vocab_size: 320,
  max_position_embeddings: 2048,
  rms_norm_eps: Math.fround(1e-5),
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  num_experts_per_tok: 2,
  eos_token_id: 286,
};

const GPT_OSS = {
  ...SIZES,
  architectures: ["GptOssForCausalLM"],
  rope_theta: 150000,
  num_hidden_layers: 4,
  sliding_window: 32,
  layer_types: ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
  intermediate_size: 32,
  num_local_experts: 3,
  attention_bias: true,
  swiglu_limit: 7,
  rope_scaling: {
    rope_type: "yarn",
    factor: 8,
    original_max_position_embeddings: 256,
    beta_fast: 32,
    beta_slow: 1,
    truncate: true,
  },
};
const AFMOE = {
  ...SIZES,
  architectures: ["AfmoeForCausalLM"],
  rope_theta: 1e4,
  num_hidden_layers: 4,
  num_dense_layers: 1,
  sliding_window: 32,
  global_attn_every_n_layers: 4,
  intermediate_size: 48,
  moe_intermediate_size: 32,
  num_experts: 3,
  num_shared_experts: 0,
  score_func: "sigmoid",
  route_norm: true,
  route_scale: 1.25,
  mup_enabled: true,
};

// What files call softmax over all and normalise, folders of AFMoE never do: the file is told to do as they.
test.each([
  ["gpt-oss", "f32", "column by column", GPT_OSS, {}],
  ["gpt-oss", "mxfp4", "MXFP4", { ...GPT_OSS, quantization_config: { quant_method: "mxfp4" } }, {}],
  ["afmoe", "f32", "sigmoid scores", AFMOE, { "afmoe.expert_gating_func": 2 }],
])("%s %s, %s", { timeout: 20_000 }, async (arch, variant, _, config, changes) => {
  const gguf = await ggufOf(arch, variant, changes);
  const folder = await openCheckpoint(await folderOf(gguf, config, { packed: variant === "mxfp4" }));
  const [file, twin] = [gguf, folder].map((checkpoint) => {
    const { spec, names } = describeModel(checkpoint);
    return { spec, weights: createWeightMap(checkpoint, spec, names) };
  });
  // Undefined counts as absent.
  expect({ ...twin!.spec, name: "" }).toEqual({ ...file!.spec, name: "" });
  expect(twin!.weights.expertBytes).toBe(file!.weights.expertBytes);
  for (const [layer, { mlp }] of file!.spec.layers.entries()) {
    if (mlp?.kind !== "moe") continue;
    const { packing, ...layout } = twin!.weights.expertLayout(layer);
    expect(packing === undefined).toBe(arch === "afmoe");
    expect(layout).toEqual(file!.weights.expertLayout(layer));
    for (let expert = 0; expert < mlp.numExperts; expert++) {
      const bytes = await file!.weights.readExpert(layer, expert);
      expect(bytes.some((byte) => byte !== 0)).toBe(true);
      expect(await twin!.weights.readExpert(layer, expert)).toEqual(bytes);
    }
  }
  for (const { ref, shape } of file!.weights.dense) {
    const [a, b] = await Promise.all(
      [file!, twin!].map(async ({ weights }) =>
        shape.length === 1
          ? await weights.readVector(ref)
          : dequantizeRows(weights.matrix(ref), await weights.readMatrixRows(ref, 0, shape[0])),
      ),
    );
    expect(b).toEqual(a);
  }
});
