/** The blueprint of DeepSeek-V2 and V3, from GGUF metadata of both ages and from config.json. */
import { describe, expect, test } from "vitest";
import { kvCacheBytes } from "../../../src/engine/kv-cache.ts";
import { modelSizes } from "../../../src/engine/sizes.ts";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { storedBytes } from "../../../src/formats/dtype.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { MoeSpec } from "../../../src/models/spec.ts";
import { expectedDense } from "../../../src/weights/expected.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { plan } from "../../fixtures/gguf/make-gguf.mjs";

interface Planned {
  readonly kv: readonly (readonly [string, string, unknown])[];
  readonly tensors: readonly { readonly name: string; readonly ne: readonly number[] }[];
}

type Shapes = Record<string, readonly number[]>;

function tableOf(shapes: Shapes): Map<string, TensorInfo> {
  return new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const byteLength = storedBytes(
        "F32",
        shape.reduce((a, b) => a * b, 1),
      );
      return [name, { name, dtype: "F32", shape, shard: 0, offset: 0, byteLength }];
    }),
  );
}

const KEY = "deepseek2.";
const { kv, tensors }: Planned = plan("deepseek2", {});
const METADATA = Object.fromEntries(kv.map(([key, , value]) => [key, value]));
const SHAPES: Shapes = Object.fromEntries(tensors.map(({ name, ne }) => [name, [...ne].reverse()]));

/** The header of the generated file with some of its metadata (`undefined`: left out) and tensors changed. */
function gguf(metadata: Record<string, unknown> = {}, shapes: (shapes: Shapes) => Shapes = (same) => same): Checkpoint {
  const own = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [KEY + key, value]));
  return { container: "gguf", config: { ...METADATA, ...own }, tensors: tableOf(shapes(SHAPES)), shards: [] };
}

/** Tensors whose names do not end so. */
const without = (shapes: Shapes, ...ends: readonly string[]): Shapes =>
  Object.fromEntries(Object.entries(shapes).filter(([name]) => !ends.some((end) => name.endsWith(end))));

const moeOf = (checkpoint: Checkpoint): MoeSpec => {
  const mlp = describeModel(checkpoint).spec.layers.at(-1)?.mlp;
  if (mlp?.kind !== "moe") throw new Error("no experts");
  return mlp;
};
const attentionOf = (checkpoint: Checkpoint) => describeModel(checkpoint).spec.layers[0]!.attention!;
const mapped = (checkpoint: Checkpoint) => {
  const { spec, names } = describeModel(checkpoint);
  return createWeightMap(checkpoint, spec, names);
};

const GROWN = 1 + 0.1 * Math.log(4); // mscale at a factor of 4

describe("GGUF metadata", () => {
  test("V3 in a newer file", () => {
    const { spec } = describeModel(gguf());
    expect(spec.layers.map(({ mlp }) => mlp?.kind)).toEqual(["dense", "moe", "moe"]);
    expect(spec.layers[0]?.attention).toMatchObject({
      numHeads: 4,
      numKvHeads: 1,
      headDim: 96,
      ropeDims: 32,
      ropePairing: "interleaved",
      window: null,
      latent: { rank: 256, valueDim: 64, queryRank: 256, split: true },
      yarn: { factor: 4, originalContext: 256, betaFast: 32, betaSlow: 1, truncate: true, size: 1 },
    });
    expect(spec.layers[0]?.attention?.scale).toBeCloseTo(GROWN ** 2 / Math.sqrt(96), 6);
    expect(spec.layers[1]?.mlp).toEqual({
      kind: "moe",
      numExperts: 16,
      topK: 4,
      latentSize: null,
      innerSize: 256,
      renormalize: true,
      routingScale: 2.5,
      scoring: "sigmoid",
      selectionBias: true,
      groups: { count: 4, used: 2, worth: "best two" },
      shared: { innerSize: 256, gated: false },
    });
    expect(structuredClone(spec)).toEqual(spec);
    expect(mapped(gguf()).matrix({ layer: 1, name: "kUp" })).toMatchObject({ rows: 4 * 256, cols: 64 });
  });

  test("an older file: dimensions of heads, both parts together, plain queries", () => {
    const older = gguf(
      {
        "attention.head_count_kv": 4,
        "attention.key_length": 96,
        "attention.value_length": 64,
        "attention.key_length_mla": undefined,
        "attention.value_length_mla": undefined,
        "attention.q_lora_rank": undefined,
      },
      (shapes) => ({
        ...without(
          shapes,
          "attn_k_b.weight",
          "attn_v_b.weight",
          "attn_q_a.weight",
          "attn_q_a_norm.weight",
          "attn_q_b.weight",
        ),
        ...Object.fromEntries([0, 1, 2].map((layer) => [`blk.${layer}.attn_kv_b.weight`, [4 * 128, 256]])),
        ...Object.fromEntries([0, 1, 2].map((layer) => [`blk.${layer}.attn_q.weight`, [4 * 96, 256]])),
      }),
    );
    const { headDim, latent } = attentionOf(older);
    expect([headDim, latent]).toEqual([96, { rank: 256, valueDim: 64, queryRank: undefined, split: undefined }]);
    const weights = mapped(older);
    expect(weights.matrix({ layer: 0, name: "kvUp" })).toMatchObject({ rows: 512, cols: 256 });
    expect(weights.matrix({ layer: 0, name: "q" })).toMatchObject({ rows: 384, cols: 256 });
  });

  test("both forms of the same numbers: the split one is read", () => {
    const both = gguf({}, (shapes) => ({ ...shapes, "blk.0.attn_kv_b.weight": [512, 256] }));
    expect(() => mapped(both)).not.toThrow();
    expect(namesOf(both)).toContain("blk.0.attn_k_b.weight");
    expect(namesOf(both)).not.toContain("blk.0.attn_kv_b.weight");
  });

  test("heads stacked in another order are refused", () => {
    const turned = gguf({}, (shapes) => ({ ...shapes, "blk.0.attn_k_b.weight": [256, 4, 64] }));
    expect(() => mapped(turned)).toThrow(/"blk.0.attn_k_b.weight" \[4, 256, 64\], got \[256, 4, 64\]/);
  });

  test("how experts are scored and grouped", () => {
    const v2 = { expert_gating_func: 1, expert_weights_norm: false };
    const noBias = (shapes: Shapes) => without(shapes, "exp_probs_b.bias");
    expect(moeOf(gguf(v2, noBias))).toMatchObject({
      scoring: "softmax",
      selectionBias: false,
      renormalize: false,
      groups: { count: 4, used: 2, worth: "best" },
    });
    const unsaid = { expert_gating_func: undefined };
    expect(moeOf(gguf(unsaid, noBias)).scoring).toBe("softmax");
    expect(moeOf(gguf(unsaid)).scoring).toBe("sigmoid");
    expect(moeOf(gguf({ expert_group_count: undefined })).groups).toBeUndefined();
    expect(moeOf(gguf({ expert_group_count: 1, expert_group_used_count: 1 })).groups).toBeUndefined();
    expect(moeOf(gguf({ expert_group_used_count: 4 })).groups).toBeUndefined(); // all of them
    expect(moeOf(gguf({ expert_shared_count: 0 })).shared).toBeUndefined();
    expect(moeOf(gguf({ expert_shared_count: 2 })).shared).toEqual({ innerSize: 512, gated: false });
  });

  test("the stretch: the file's multiplier is a tenth of mscale_all_dim", () => {
    const scaleOf = (multiplier: unknown) => {
      const { scale, yarn } = attentionOf(gguf({ "rope.scaling.yarn_log_multiplier": multiplier }));
      return [scale! * Math.sqrt(96), yarn?.size];
    };
    expect(scaleOf(0.07)[0]).toBeCloseTo((1 + 0.07 * Math.log(4)) ** 2, 6);
    expect(scaleOf(0.07)[1]).toBe(1);
    expect(scaleOf(undefined)).toEqual([1, GROWN]); // no mscale_all_dim: sines and cosines grow, scores do not
    const plain = attentionOf(gguf({ "rope.scaling.type": "none" }));
    expect([plain.scale, plain.yarn]).toEqual([undefined, undefined]);
  });

  test("no experts at all, and layers that draft", () => {
    const dense = describeModel(gguf({ expert_count: 0 })).spec;
    expect(dense.layers.map(({ mlp }) => mlp)).toEqual(Array(3).fill({ kind: "dense", innerSize: 512 }));
    expect(describeModel(gguf({ nextn_predict_layers: 1 })).spec.layers).toHaveLength(2);
  });

  test.each([
    [{ expert_group_count: 3 }, FormatError, /equal groups/],
    [{ expert_group_count: 16 }, FormatError, /two or more experts each/],
    [{ expert_group_used_count: 5 }, FormatError, /expert_group_used_count/],
    [{ expert_group_used_count: 1, expert_used_count: 5 }, FormatError, /hold the top 5/],
    [{ "rope.dimension_count": 96 }, FormatError, /more elements than turn/],
    [{ "rope.dimension_count": 31 }, FormatError, /even number/],
    [{ "attention.kv_lora_rank": undefined }, FormatError, /kv_lora_rank/],
    [{ "attention.temperature_scale": 0.1 }, UnsupportedError, /temperature_scale/],
    [{ "rope.scaling.type": "linear" }, UnsupportedError, /"linear"/],
    [{ "rope.scaling.yarn_log_multiplier": -1 }, FormatError, /a number from 0 on/],
  ])("refuses %o", (metadata, error, message) => {
    expect(() => describeModel(gguf(metadata))).toThrow(error);
    expect(() => describeModel(gguf(metadata))).toThrow(message);
  });

  test("a tensor that nothing reads is refused", () => {
    const checkpoint = gguf({}, (shapes) => ({ ...shapes, "blk.0.attn_kv_a_mqa.bias": [288] }));
    expect(() => mapped(checkpoint)).toThrow(/"blk.0.attn_kv_a_mqa.bias"/);
  });
});

/** As DeepSeek-V3 writes it, with smaller sizes. */
const V3 = {
  architectures: ["DeepseekV3ForCausalLM"],
  hidden_act: "silu",
  hidden_size: 64,
  vocab_size: 320,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  qk_nope_head_dim: 16,
  qk_rope_head_dim: 8,
  v_head_dim: 20,
  kv_lora_rank: 32,
  q_lora_rank: 24,
  attention_bias: false,
  rope_theta: 10_000,
  rope_scaling: {
    type: "yarn",
    factor: 40,
    original_max_position_embeddings: 128,
    beta_fast: 32,
    beta_slow: 1,
    mscale: 1.0,
    mscale_all_dim: 1.0,
  },
  first_k_dense_replace: 1,
  moe_layer_freq: 1,
  intermediate_size: 96,
  moe_intermediate_size: 48,
  n_routed_experts: 16,
  num_experts_per_tok: 4,
  n_shared_experts: 1,
  n_group: 4,
  topk_group: 2,
  topk_method: "noaux_tc",
  scoring_func: "sigmoid",
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
};
/** What V2-Lite says otherwise. */
const LITE = {
  architectures: ["DeepseekV2ForCausalLM"],
  q_lora_rank: null,
  n_group: 1,
  topk_group: 1,
  n_shared_experts: 2,
  topk_method: "greedy",
  scoring_func: "softmax",
  norm_topk_prob: false,
  routed_scaling_factor: 1.0,
  rope_scaling: { ...V3.rope_scaling, mscale: 0.7, mscale_all_dim: 0.7 },
};

const folder = (changes: object = {}): Checkpoint => {
  return { container: "safetensors", config: { ...V3, ...changes }, tensors: new Map(), shards: [] };
};
const namesOf = (checkpoint: Checkpoint): string[] => {
  const { spec, names } = describeModel(checkpoint);
  return expectedDense(spec).map(({ ref }) => (typeof ref === "string" ? ref : names.layer(ref.layer, ref.name)));
};

describe("config.json", () => {
  test("V3", () => {
    const { spec, names } = describeModel(folder());
    const grown = 1 + 0.1 * Math.log(40);
    expect(spec.layers[0]?.attention).toMatchObject({
      headDim: 24,
      ropeDims: 8,
      ropePairing: "interleaved",
      yarn: { factor: 40, originalContext: 128, size: 1 },
      latent: { rank: 32, valueDim: 20, queryRank: 24 },
    });
    expect(spec.layers[0]?.attention?.scale).toBeCloseTo(grown ** 2 / Math.sqrt(24), 12);
    expect(spec.layers.map(({ mlp }) => mlp?.kind)).toEqual(["dense", "moe", "moe"]);
    expect(moeOf(folder())).toMatchObject({
      scoring: "sigmoid",
      selectionBias: true,
      renormalize: true,
      routingScale: 2.5,
      groups: { count: 4, used: 2, worth: "best two" },
      shared: { innerSize: 48, gated: false },
    });
    const own = namesOf(folder()).filter((name) => name.startsWith("model.layers.1.self_attn"));
    expect(own.map((name) => name.slice(25)).sort()).toEqual([
      "kv_a_layernorm.weight",
      "kv_a_proj_with_mqa.weight",
      "kv_b_proj.weight",
      "o_proj.weight",
      "q_a_layernorm.weight",
      "q_a_proj.weight",
      "q_b_proj.weight",
    ]);
    expect(namesOf(folder())).toContain("model.layers.1.mlp.gate.e_score_correction_bias");
    expect(names.ignores?.("model.layers.3.eh_proj.weight")).toBe(true);
    expect(names.ignores?.("model.layers.2.eh_proj.weight")).toBe(false);
  });

  test("V3 as newer libraries write it: without the method, with positions in a record of their own", () => {
    const { rope_scaling, topk_method, scoring_func, rope_theta, ...rest } = V3;
    const { type, ...scaling } = rope_scaling;
    const rope_parameters = { rope_type: type, rope_theta, ...scaling };
    const newer: Checkpoint = { ...folder(), config: { ...rest, rope_parameters, head_dim: 8, rope_interleave: true } };
    expect(describeModel(newer).spec).toEqual(describeModel(folder()).spec);
    expect(attentionOf(folder({ rope_interleave: false })).ropePairing).toBe("half");
  });

  test("V2-Lite", () => {
    const { attention } = describeModel(folder(LITE)).spec.layers[0]!;
    expect(attention!.latent?.queryRank).toBeUndefined();
    expect(attention!.scale).toBeCloseTo((1 + 0.07 * Math.log(40)) ** 2 / Math.sqrt(24), 12);
    expect(attention!.yarn?.size).toBe(1);
    expect(moeOf(folder(LITE))).toMatchObject({
      scoring: "softmax",
      selectionBias: false,
      renormalize: false,
      routingScale: 1,
      shared: { innerSize: 96, gated: false },
    });
    expect(moeOf(folder(LITE)).groups).toBeUndefined();
    expect(namesOf(folder(LITE))).toContain("model.layers.1.self_attn.q_proj.weight");
    expect(namesOf(folder(LITE))).not.toContain("model.layers.1.mlp.gate.e_score_correction_bias");
  });

  test("V2: groups by their best; weights that are normed are not scaled; one expert keeps its score", () => {
    const v2 = { ...LITE, topk_method: "group_limited_greedy", n_group: 8, topk_group: 3, routed_scaling_factor: 16 };
    expect(moeOf(folder(v2))).toMatchObject({ groups: { count: 8, used: 3, worth: "best" }, routingScale: 16 });
    expect(moeOf(folder({ ...v2, norm_topk_prob: true }))).toMatchObject({ renormalize: true, routingScale: 1 });
    expect(moeOf(folder({ ...v2, norm_topk_prob: true, num_experts_per_tok: 1 }))).toMatchObject({
      renormalize: false,
      routingScale: 16,
    });
    expect(moeOf(folder({ norm_topk_prob: true }))).toMatchObject({ renormalize: true, routingScale: 2.5 });
  });

  test("mscale alone lets sines and cosines grow", () => {
    const { mscale_all_dim: _, ...scaling } = V3.rope_scaling;
    const { yarn, scale } = attentionOf(folder({ rope_scaling: scaling }));
    expect(yarn?.size).toBeCloseTo(1 + 0.1 * Math.log(40), 12);
    expect(scale).toBeCloseTo(1 / Math.sqrt(24), 12);
    expect(attentionOf(folder({ rope_scaling: { ...scaling, mscale_all_dim: 0 } })).scale).toBe(scale);
  });

  test("dense layers only, or every second one sparse", () => {
    const kinds = (changes: object) => describeModel(folder(changes)).spec.layers.map(({ mlp }) => mlp?.kind);
    expect(kinds({ n_routed_experts: null })).toEqual(["dense", "dense", "dense"]);
    expect(kinds({ first_k_dense_replace: 3 })).toEqual(["dense", "dense", "dense"]);
    expect(kinds({ moe_layer_freq: 2, first_k_dense_replace: 0 })).toEqual(["moe", "dense", "moe"]);
  });

  test.each([
    [{ attention_bias: true }, /attention_bias/],
    [{ topk_method: "random" }, /topk_method/],
    [{ scoring_func: "sqrtsoftplus" }, /scoring_func/],
    [{ rope_scaling: { ...V3.rope_scaling, attention_factor: 2 } }, /attention_factor/],
    [{ rope_scaling: { type: "linear", factor: 2 } }, /linear/],
  ])("refuses %o", (changes, message) => {
    expect(() => describeModel(folder(changes))).toThrow(UnsupportedError);
    expect(() => describeModel(folder(changes))).toThrow(message);
  });
});

test("what is cached is the latents, once, not keys and values of heads", () => {
  const { spec } = describeModel(folder({ num_hidden_layers: 2 }));
  const sizes = modelSizes(spec);
  expect(kvCacheBytes(spec, 100, sizes.chunk)).toBe(2 * 100 * (32 + 8) * 4);
  expect(sizes).toMatchObject({ qkv: 24 + 40, attention: 4 * 24, latentHeads: 4 * 32 });
  expect(modelSizes(describeModel(folder({ q_lora_rank: null })).spec).qkv).toBe(40 + 4 * 24);
});
