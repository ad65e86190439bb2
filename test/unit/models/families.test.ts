/** The blueprints of all families but MAI, from GGUF metadata and from config.json, and what each refuses by name. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { LayerSpec, ModelSpec } from "../../../src/models/spec.ts";
import { expectedDense, expertShape } from "../../../src/weights/expected.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { ggufHeader as gguf, tableOf, tensorOf } from "../../fixtures/gguf/header.ts";

/** Keys of a family are renamed, those of the file stay. */
const dense = (key: string, arch: string): string => (/^(general|tokenizer)\./.test(key) ? key.split(".")[0]! : arch);

const hf = (config: Record<string, unknown>, tensors: readonly TensorInfo[] = []): Checkpoint => ({
  container: "safetensors",
  config,
  tensors: tableOf(tensors),
  shards: [],
});

/** Names that the model needs, in a set. */
function namesOf(checkpoint: Checkpoint): Set<string> {
  const { spec, names } = describeModel(checkpoint);
  const dense = expectedDense(spec).map(({ ref }) =>
    typeof ref === "string" ? names.model(ref) : names.layer(ref.layer, ref.name),
  );
  const experts = spec.layers.flatMap(({ mlp }, layer) =>
    mlp?.kind !== "moe"
      ? []
      : (["gate", "up", "down"] as const).map((matrix) => {
          const places = names.experts(layer, matrix);
          return places.kind === "stacked" ? `${places.name} ${places.half ?? "whole"}` : places.nameOf(0);
        }),
  );
  return new Set([...dense, ...experts]);
}

/** `config` without what says nothing, for comparisons. */
const layerOf = (spec: ModelSpec, layer: number): LayerSpec => JSON.parse(JSON.stringify(spec.layers[layer]));

const HEADS = { ropeTheta: 1e6, window: null, qkNorm: false };
const MOE = { kind: "moe", topK: 4, numExperts: 16, innerSize: 256, latentSize: null, routingScale: 1 };

describe("GGUF metadata", () => {
  test.each([
    ["qwen3moe", 1, { qkNorm: true, headDim: 128, numKvHeads: 2 }, { ...MOE, renormalize: true }],
    ["mixtral", 1, { ropePairing: "interleaved", headDim: 32 }, { ...MOE, numExperts: 8, topK: 2, renormalize: true }],
    ["olmoe", 0, { wideQkNorm: true, ropeTheta: 1e4 }, { ...MOE, renormalize: false }],
    [
      "qwen2moe",
      0,
      { qkvBias: true },
      { ...MOE, numExperts: 12, topK: 3, renormalize: false, shared: { innerSize: 512, gated: true } },
    ],
    [
      "granitemoe",
      0,
      { ropePairing: "interleaved", scale: 0.0625, ropeTheta: 1e4 },
      { ...MOE, renormalize: true, shared: { innerSize: 512, gated: false } },
    ],
    [
      "glm4moe",
      1,
      { ropeDims: 32, qkvBias: true, qkNorm: true },
      {
        ...MOE,
        renormalize: true,
        routingScale: 1.5,
        scoring: "sigmoid",
        selectionBias: true,
        shared: { innerSize: 256, gated: false },
      },
    ],
    [
      "gpt-oss",
      0,
      {
        ropeTheta: 150000,
        window: 32,
        qkvBias: true,
        outputBias: true,
        sinks: true,
        yarn: { factor: 8, originalContext: 256, betaFast: 32, betaSlow: 1, truncate: true },
      },
      { ...MOE, renormalize: true, routerBias: true, expertBias: true, activation: "clamped-swiglu" },
    ],
    [
      "afmoe",
      2,
      { ropeTheta: 1e4, window: 32, qkNorm: true, outputGate: true },
      { ...MOE, renormalize: true, routingScale: 1.25, scoring: "softmax", selectionBias: true },
    ],
  ])("%s", (arch, layer, attention, mlp) => {
    const { spec, names } = describeModel(gguf(arch));
    expect(layerOf(spec, layer).attention).toMatchObject({ ...HEADS, ...attention });
    expect(layerOf(spec, layer).mlp).toEqual(mlp);
    expect(createWeightMap(gguf(arch), spec, names).expertBytes).toBeGreaterThan(0);
    expect(structuredClone(spec)).toEqual(spec);
  });

  test("factors of Granite; logits are divided", () => {
    const { spec } = describeModel(gguf("granitemoe"));
    expect(spec).toMatchObject({
      embeddingScale: 12,
      residualScale: 0.22,
      logitScale: 1 / 0.064,
      tiedEmbeddings: true,
    });
  });

  test("layers of AFMoE: the first dense, every fourth global and without positions", () => {
    const { spec } = describeModel(gguf("afmoe"));
    expect(spec.embeddingScale).toBe(16);
    expect(spec.layers.map(({ mlp }) => mlp?.kind)).toEqual(["dense", "moe", "moe", "moe"]);
    expect(spec.layers.map(({ attention }) => [attention?.window, attention?.ropeTheta])).toEqual([
      [32, 1e4],
      [32, 1e4],
      [32, 1e4],
      [null, null],
    ]);
  });

  test("layers of gpt-oss take turns", () => {
    const { spec } = describeModel(gguf("gpt-oss"));
    expect(spec.layers.map(({ attention }) => attention?.window)).toEqual([32, null, 32, null]);
  });

  test("a dense Llama has no experts", () => {
    const { spec } = describeModel(gguf("mixtral", { "llama.expert_count": 0 }));
    expect(spec.layers[0]?.mlp).toEqual({ kind: "dense", innerSize: 256 });
  });

  test("stretches of positions: by type, by the key before there were types, by stored factors", () => {
    const scalingOf = (config: Record<string, unknown>) =>
      describeModel(gguf("qwen3moe", config)).spec.layers[0]?.attention?.ropeScaling;
    const linear = { "qwen3moe.rope.scaling.type": "linear", "qwen3moe.rope.scaling.factor": 4 };
    expect(scalingOf(linear)).toEqual({ kind: "linear", factor: 4 });
    expect(scalingOf({ "qwen3moe.rope.scale_linear": 2 })).toEqual({ kind: "linear", factor: 2 });
    expect(scalingOf({ "qwen3moe.rope.scale_linear": 1 })).toBeUndefined();
    expect(scalingOf({ "qwen3moe.rope.scaling.type": "none", "qwen3moe.rope.scale_linear": 2 })).toBeUndefined();
    const checkpoint = gguf("mixtral", {}, [tensorOf("rope_freqs.weight", [16])]);
    const { spec, names } = describeModel(checkpoint);
    expect(spec.ropeFactors).toBe(16);
    expect(createWeightMap(checkpoint, spec, names).dense).toContainEqual({ ref: "ropeFactors", shape: [16] });
    const wrong = gguf("mixtral", {}, [tensorOf("rope_freqs.weight", [15])]);
    expect(() => describeModel(wrong)).toThrow(/"rope_freqs.weight" \[16\], got \[15\]/);
  });

  test.each([
    ["qwen3", "qwen3moe", { qkNorm: true }],
    ["qwen2", "qwen2moe", { qkvBias: true }],
    ["granite", "granitemoe", { ropePairing: "interleaved", scale: 0.0625 }],
    ["llama", "mixtral", { ropePairing: "interleaved" }],
  ])("%s without experts", (arch, twin, attention) => {
    const { config } = gguf(twin);
    const renamed = Object.entries(config).map(([key, value]) => [
      key.replace(/^[^.]*(?=\.)/, dense(key, arch)),
      value,
    ]);
    const metadata = { ...Object.fromEntries(renamed), "general.architecture": arch, [`${arch}.expert_count`]: 0 };
    const { spec } = describeModel({ ...gguf(twin), config: metadata });
    expect(spec.architecture).toBe(arch);
    expect(spec.layers[1]?.mlp).toEqual({ kind: "dense", innerSize: metadata[`${arch}.feed_forward_length`] });
    expect(spec.layers[1]?.attention).toMatchObject(attention);
  });

  test("layers that draft are left out", () => {
    const { spec, names } = describeModel(gguf("glm4moe", { "glm4moe.nextn_predict_layers": 1 }));
    expect(spec.layers).toHaveLength(2);
    expect(() => createWeightMap(gguf("glm4moe"), spec, names)).not.toThrow();
  });

  test.each([
    [
      "qwen3moe",
      { "qwen3moe.rope.scaling.type": "longrope" },
      /scaling.type" is "longrope"; supported: "none", "linear", "/,
    ],
    ["glm4moe", { "glm4moe.expert_group_count": 4 }, /expert_group_count" is 4; supported/],
    ["qwen3moe", { "qwen3moe.expert_gating_func": 9 }, /expert_gating_func" is 9/],
  ])("%s refuses %o", (arch, config, message) => {
    expect(() => describeModel(gguf(arch, config))).toThrow(UnsupportedError);
    expect(() => describeModel(gguf(arch, config))).toThrow(message);
  });

  test.each([
    { "qwen3moe.attention.head_count_kv": 3 },
    { "qwen3moe.attention.key_length": 127, "qwen3moe.attention.value_length": 127 },
    { "qwen3moe.rope.dimension_count": 256 },
    { "qwen3moe.expert_used_count": 17 },
  ])("nonsense: %o", (config) => {
    expect(() => describeModel(gguf("qwen3moe", config))).toThrow(FormatError);
  });

  test.each(["blk.0.attn_q.bias", "rope_factors_long.weight", "blk.2.ffn_up_shexp.weight"])(
    "%s unread is refused",
    (name) => {
      const checkpoint = gguf("qwen3moe", {}, [tensorOf(name, [16])]);
      const { spec, names } = describeModel(checkpoint);
      expect(() => createWeightMap(checkpoint, spec, names)).toThrow(UnsupportedError);
      expect(() => createWeightMap(checkpoint, spec, names)).toThrow(name);
    },
  );
});

const BASE = {
  hidden_size: 64,
  vocab_size: 320,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
  moe_intermediate_size: 48,
  num_experts_per_tok: 2,
  num_experts: 8,
  num_local_experts: 8,
  n_routed_experts: 8,
  rope_theta: 1e6,
  hidden_act: "silu",
};
const config = (model: string, more: object = {}) => hf({ ...BASE, ...more, architectures: [model] });
const LAYER = "model.layers.1.";

describe("config.json", () => {
  test("Qwen3-MoE", () => {
    const model = config("Qwen3MoeForCausalLM", { head_dim: 32, norm_topk_prob: true, mlp_only_layers: [0] });
    const { spec } = describeModel(model);
    expect(spec.layers.map(({ mlp }) => mlp?.kind)).toEqual(["dense", "moe"]);
    expect(spec.layers[1]?.attention).toMatchObject({ headDim: 32, qkNorm: true, ropeTheta: 1e6 });
    expect(spec.layers[1]?.mlp).toMatchObject({ renormalize: true, innerSize: 48, numExperts: 8 });
    const names = namesOf(model);
    expect(names).toContain(`${LAYER}mlp.experts.0.down_proj.weight`);
    expect(names).toContain(`${LAYER}self_attn.q_norm.weight`);
    expect(names).toContain(`${LAYER}post_attention_layernorm.weight`);
    expect(names).toContain("model.layers.0.mlp.gate_proj.weight");
    const sparse = config("Qwen3MoeForCausalLM", { decoder_sparse_step: 2 });
    expect(describeModel(sparse).spec.layers.map(({ mlp }) => mlp?.kind)).toEqual(["dense", "moe"]);
  });

  test("Mixtral turns halves", () => {
    const model = config("MixtralForCausalLM", { sliding_window: null });
    const { attention, mlp } = describeModel(model).spec.layers[1]!;
    expect(attention?.ropePairing).toBeUndefined();
    expect(mlp).toMatchObject({ kind: "moe", renormalize: true, innerSize: 96 });
    expect(namesOf(model)).toContain(`${LAYER}block_sparse_moe.gate.weight`);
    expect(namesOf(model)).toContain(`${LAYER}block_sparse_moe.experts.0.w3.weight`);
  });

  test("Llama", () => {
    const model = config("LlamaForCausalLM", { num_local_experts: undefined });
    expect(describeModel(model).spec.layers[0]?.mlp).toEqual({ kind: "dense", innerSize: 96 });
    const window = config("MistralForCausalLM", { num_local_experts: undefined, sliding_window: 16 });
    expect(describeModel(window).spec.layers[0]?.attention?.window).toBe(16);
  });

  test("OLMoE", () => {
    const { attention, mlp } = describeModel(config("OlmoeForCausalLM", { norm_topk_prob: false })).spec.layers[0]!;
    expect(attention).toMatchObject({ wideQkNorm: true, qkNorm: false });
    expect(mlp).toMatchObject({ renormalize: false, innerSize: 96 });
    expect(() => describeModel(config("OlmoeForCausalLM", { clip_qkv: 8 }))).toThrow(/clip_qkv/);
  });

  test("Qwen2-MoE", () => {
    const model = config("Qwen2MoeForCausalLM", { shared_expert_intermediate_size: 80 });
    expect(describeModel(model).spec.layers[0]).toMatchObject({
      attention: { qkvBias: true },
      mlp: { shared: { innerSize: 80, gated: true }, renormalize: false },
    });
    expect(namesOf(model)).toContain(`${LAYER}mlp.shared_expert_gate.weight`);
    expect(namesOf(model)).toContain(`${LAYER}self_attn.v_proj.bias`);
  });

  test("Granite-MoE, gate over up in one tensor", () => {
    const factors = {
      embedding_multiplier: 12,
      residual_multiplier: 0.2,
      attention_multiplier: 0.1,
      logits_scaling: 6,
    };
    const model = config("GraniteMoeForCausalLM", factors);
    const { spec } = describeModel(model);
    expect(spec).toMatchObject({ embeddingScale: 12, residualScale: 0.2, logitScale: 1 / 6 });
    expect(spec.layers[0]?.attention).toMatchObject({ scale: 0.1, ropePairing: "half" });
    expect(namesOf(model)).toContain(`${LAYER}block_sparse_moe.input_linear.weight first`);
    expect(namesOf(model)).toContain(`${LAYER}block_sparse_moe.input_linear.weight second`);
    const shared = config("GraniteMoeSharedForCausalLM", { shared_intermediate_size: 64 });
    expect(describeModel(shared).spec.layers[0]?.mlp).toMatchObject({ shared: { innerSize: 64, gated: false } });
    const { names } = describeModel(shared);
    expect([names.layer(1, "sharedGate"), names.half?.("sharedGate"), names.half?.("sharedUp")]).toEqual([
      `${LAYER}shared_mlp.input_linear.weight`,
      "first",
      "second",
    ]);
    expect([names.layer(1, "sharedDown"), names.half?.("sharedDown")]).toEqual([
      `${LAYER}shared_mlp.output_linear.weight`,
      undefined,
    ]);
  });

  test("GLM-4-MoE", () => {
    const model = config("Glm4MoeForCausalLM", {
      first_k_dense_replace: 1,
      n_shared_experts: 2,
      partial_rotary_factor: 0.5,
      routed_scaling_factor: 2.5,
      norm_topk_prob: true,
      attention_bias: true,
      use_qk_norm: true,
    });
    const { spec } = describeModel(model);
    expect(spec.layers[1]).toMatchObject({
      attention: { ropeDims: 8, qkvBias: true, qkNorm: true },
      mlp: { scoring: "sigmoid", routingScale: 2.5, shared: { innerSize: 96, gated: false } },
    });
    expect(spec.layers[0]?.mlp?.kind).toBe("dense");
    expect(namesOf(model)).toContain(`${LAYER}mlp.gate.e_score_correction_bias`);
  });

  test("AFMoE", () => {
    const model = config("AfmoeForCausalLM", {
      num_dense_layers: 1,
      sliding_window: 16,
      layer_types: ["sliding_attention", "full_attention"],
      mup_enabled: true,
      route_scale: 2,
      num_shared_experts: 1,
    });
    const { spec } = describeModel(model);
    expect(spec.embeddingScale).toBe(8);
    expect(spec.layers[1]).toMatchObject({
      attention: { ropeTheta: null, window: null, outputGate: true },
      mlp: { scoring: "sigmoid", renormalize: true, routingScale: 2 },
    });
    expect(namesOf(model)).toContain(`${LAYER}mlp.router.gate.weight`);
    expect(namesOf(model)).toContain(`${LAYER}self_attn.gate_proj.weight`);
  });

  test("gpt-oss: rows of gate and up in turns, columns first unless MXFP4", () => {
    const more = { sliding_window: 16, attention_bias: true, swiglu_limit: 7 };
    const model = config("GptOssForCausalLM", more);
    const { spec, names } = describeModel(model);
    expect(spec.layers.map(({ attention }) => attention!.window)).toEqual([16, null]);
    expect(spec.layers[1]).toMatchObject({
      attention: { sinks: true, qkvBias: true, outputBias: true },
      mlp: { routerBias: true, expertBias: true, activation: "clamped-swiglu", innerSize: 96, renormalize: true },
    });
    const name = `${LAYER}mlp.experts.gate_up_proj`;
    const gate = { kind: "stacked", name, biasName: `${name}_bias`, half: "even", transposed: true };
    expect(names.experts(1, "gate")).toEqual(gate);
    expect(names.experts(1, "up")).toEqual({ ...gate, half: "odd" });
    const down = tensorOf("model.layers.0.mlp.experts.down_proj", [8, 64, 96]);
    const packed = hf(model.config, [{ ...down, dtype: "MXFP4" }]);
    expect(describeModel(packed).names.experts(1, "gate")).toEqual({ ...gate, transposed: false });
    const turns = config("GptOssForCausalLM", { ...more, layer_types: ["full_attention", "sliding_attention"] });
    expect(describeModel(turns).spec.layers.map(({ attention }) => attention!.window)).toEqual([null, 16]);
    expect(() => describeModel(config("GptOssForCausalLM", { ...more, swiglu_limit: 5 }))).toThrow(/swiglu_limit/);
  });

  test("dense Qwen, Granite and GLM-4", () => {
    const dense = { kind: "dense", innerSize: 96 };
    const [qwen2, qwen3, granite] = ["Qwen2ForCausalLM", "Qwen3ForCausalLM", "GraniteForCausalLM"].map(
      (model) => describeModel(config(model, { logits_scaling: 4, embedding_multiplier: 3 })).spec,
    );
    for (const spec of [qwen2, qwen3, granite]) expect(spec?.layers[1]?.mlp).toEqual(dense);
    expect(qwen2?.layers[0]?.attention).toMatchObject({ qkvBias: true, qkNorm: false });
    expect(qwen3?.layers[0]?.attention).toMatchObject({ qkNorm: true });
    expect(granite).toMatchObject({ logitScale: 0.25, embeddingScale: 3 });
    const model = config("Glm4ForCausalLM", { partial_rotary_factor: 0.5, attention_bias: true });
    const { spec, names } = describeModel(model);
    expect(spec.layers[0]).toMatchObject({
      attention: { ropeDims: 8, ropePairing: "interleaved", qkvBias: true },
      outputNorms: true,
      mlp: dense,
    });
    expect([names.layer(1, "up"), names.half?.("up")]).toEqual([`${LAYER}mlp.gate_up_proj.weight`, "second"]);
    expect(() => describeModel(config("Glm4ForCausalLM"))).toThrow(/"partial_rotary_factor" to be a part of the head/);
  });

  test.each(["Olmo2ForCausalLM", "Gemma3ForCausalLM"])("%s is refused with what there is", (name) => {
    expect(() => describeModel(config(name))).toThrow(UnsupportedError);
    expect(() => describeModel(config(name))).toThrow(
      new RegExp(`Architecture ${name} is not supported; supported: mai .*qwen3 \\(Qwen3ForCausalLM\\).*glm4`),
    );
  });

  test.each([
    [
      { rope_type: "linear", factor: 4 },
      { kind: "linear", factor: 4 },
    ],
    [
      { type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
      { kind: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 },
    ],
    [{ rope_type: "default" }, undefined],
  ])("positions: %o", (rope, ropeScaling) => {
    for (const record of [{ rope_scaling: rope }, { rope_parameters: { ...rope, rope_theta: 1e6 } }]) {
      const { attention } = describeModel(config("LlamaForCausalLM", { ...record, num_local_experts: undefined })).spec
        .layers[0]!;
      expect(attention!.ropeScaling).toEqual(ropeScaling);
      expect(attention!.yarn).toBeUndefined();
    }
  });

  test.each([
    [
      { rope_type: "longrope" },
      UnsupportedError,
      /"rope_type" is "longrope"; supported: "default", "linear", "llama3", "y/,
    ],
    [{ type: "dynamic", factor: 2 }, UnsupportedError, /"type" is "dynamic"; supported/],
    [{ rope_type: "llama3", factor: 8 }, FormatError, /"low_freq_factor" to be a positive number/],
    [
      { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 },
      FormatError,
      /above "low_freq_factor"/,
    ],
    [{ rope_type: "linear", factor: 0 }, FormatError, /"factor" to be a positive number/],
  ])("positions refused: %o", (rope_scaling, type, message) => {
    expect(() => describeModel(config("LlamaForCausalLM", { rope_scaling }))).toThrow(type);
    expect(() => describeModel(config("LlamaForCausalLM", { rope_scaling }))).toThrow(message);
  });

  test("a part of the head may be named in the record of positions", () => {
    const rope_parameters = { rope_theta: 1e6, rope_type: "default", partial_rotary_factor: 0.5 };
    const model = config("Glm4MoeForCausalLM", { rope_parameters });
    expect(describeModel(model).spec.layers[0]?.attention?.ropeDims).toBe(8);
  });

  test("YaRN, in either record", () => {
    const rope = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 256 };
    const yarn = { factor: 4, originalContext: 256, betaFast: 32, betaSlow: 1, truncate: true };
    for (const record of [{ rope_scaling: rope }, { rope_parameters: { ...rope, rope_theta: 1e6 } }]) {
      const { attention } = describeModel(config("Qwen3MoeForCausalLM", record)).spec.layers[0]!;
      expect(attention).toMatchObject({ ropeTheta: 1e6, yarn });
    }
  });
});

const VALUES = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(0, -1, 1, 2, 3, 64, 4096, 2 ** 20, 2 ** 53, 1e308, 2n ** 63n, undefined, Number.NaN),
);

test.each([
  "qwen3moe",
  "mixtral",
  "olmoe",
  "qwen2moe",
  "granitemoe",
  "gpt-oss",
  "glm4moe",
  "afmoe",
  "lfm2moe",
  "latent-moe",
  "deepseek2",
])("%s with any values at all is a model or a named error", (arch) => {
  const checkpoint = gguf(arch);
  const keys = Object.keys(checkpoint.config);
  const edits = fc.array(fc.tuple(fc.constantFrom(...keys), VALUES), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(edits, (changes) => {
      const edited = { ...checkpoint, config: { ...checkpoint.config, ...Object.fromEntries(changes) } };
      try {
        const { spec, names } = describeModel(edited);
        expect(createWeightMap(edited, spec, names).denseBytes).toBeGreaterThan(0);
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof UnsupportedError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
});

test("halves of a stacked tensor are read from where they are", async () => {
  const model = config("GraniteMoeForCausalLM");
  const { spec, names } = describeModel(model);
  const moe = spec.layers[0]?.mlp;
  if (moe?.kind !== "moe") throw new Error("no experts");
  const dense = expectedDense(spec).map(({ ref, shape }) =>
    tensorOf(typeof ref === "string" ? names.model(ref) : names.layer(ref.layer, ref.name), shape),
  );
  const [inner, width] = expertShape(moe, "gate", spec.hiddenSize);
  const experts = [0, 1].flatMap((layer) => [
    tensorOf(`model.layers.${layer}.block_sparse_moe.input_linear.weight`, [moe.numExperts, 2 * inner, width]),
    tensorOf(`model.layers.${layer}.block_sparse_moe.output_linear.weight`, [moe.numExperts, width, inner]),
  ]);
  const reads: [number, number][] = [];
  const shard = {
    label: "test",
    size: async () => 2 ** 30,
    read: async (offset: number, length: number) => {
      reads.push([offset, length]);
      return new Uint8Array(length);
    },
  };
  const checkpoint = { ...hf(model.config, [...dense, ...experts]), shards: [shard] } as unknown as Checkpoint;
  await createWeightMap(checkpoint, spec, names).readExpert(0, 3);
  const bytes = inner * width * 4;
  // Every tensor of this table begins at 0: gate and up of expert 3 touch, its down lies inside them.
  const covered = (start: number) =>
    reads.some(([offset, length]) => offset <= start && offset + length >= start + bytes);
  expect(covered(3 * 2 * bytes)).toBe(true);
  expect(covered(3 * 2 * bytes + bytes)).toBe(true);
  expect(covered(3 * bytes)).toBe(true);
});
