/** The blueprints of models whose layers differ in kind: LFM2 and Nemotron-H, from GGUF metadata and from config.json. */
import { describe, expect, test } from "vitest";
import { describeCheckpoint } from "../../../src/engine/describe.ts";
import { modelSizes } from "../../../src/engine/sizes.ts";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { ModelSpec } from "../../../src/models/spec.ts";
import { memorySource } from "../../../src/sources/memory.ts";
import { expectedDense, expertMatrices, expertShape } from "../../../src/weights/expected.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { ggufHeader, tableOf, tensorOf } from "../../fixtures/gguf/header.ts";
import "../../fixtures/gguf/hybrids.mjs";

const hf = (config: Record<string, unknown>, tensors: readonly TensorInfo[] = []): Checkpoint => ({
  container: "safetensors",
  config,
  tensors: tableOf(tensors),
  shards: [],
});

/** The checkpoint of `config` with every tensor that its spec asks for, and some more. */
function withTensors(config: Record<string, unknown>, more: readonly TensorInfo[] = []): Checkpoint {
  const { spec, names } = describeModel(hf(config));
  const dense = expectedDense(spec).map(({ ref, shape }) =>
    tensorOf(typeof ref === "string" ? names.model(ref) : names.layer(ref.layer, ref.name), shape),
  );
  const experts = spec.layers.flatMap(({ mlp }, layer) => {
    if (mlp?.kind !== "moe") return [];
    return expertMatrices(mlp).flatMap((matrix) => {
      const places = names.experts(layer, matrix);
      const shape = expertShape(mlp, matrix, spec.hiddenSize);
      if (places.kind === "stacked") throw new Error("stacked");
      return Array.from({ length: mlp.numExperts }, (_, expert) => tensorOf(places.nameOf(expert), shape));
    });
  });
  return hf(config, [...dense, ...experts, ...more]);
}

/** What each layer is made of: a for attention, c for a convolution, then d or e for its MLP; - for nothing. */
const lettersOf = ({ layers }: ModelSpec): string[] =>
  layers.map(({ attention, conv, mlp }) => {
    const mixer = `${attention ? "a" : ""}${conv ? "c" : ""}`;
    return `${mixer}${mlp ? (mlp.kind === "moe" ? "e" : "d") : ""}` || "-";
  });

const mapOf = (checkpoint: Checkpoint) => {
  const { spec, names } = describeModel(checkpoint);
  return createWeightMap(checkpoint, spec, names);
};

describe("LFM2 from GGUF metadata", () => {
  const checkpoint = ggufHeader("lfm2moe");
  const { spec, names } = describeModel(checkpoint);

  test("layers and sizes", () => {
    expect(lettersOf(spec)).toEqual(["cd", "ae", "ce", "ae"]);
    expect(spec.layers[0]).toMatchObject({ conv: { kernel: 3 }, mlp: { kind: "dense", innerSize: 512 } });
    expect(spec.layers[1]?.attention).toMatchObject({ numHeads: 8, numKvHeads: 2, headDim: 32, qkNorm: true });
    expect(spec.layers[2]?.mlp).toMatchObject({ scoring: "sigmoid", selectionBias: true, renormalize: true, topK: 4 });
    expect(spec.tiedEmbeddings).toBe(true);
    expect(names.model("outputNorm")).toBe("token_embd_norm.weight");
    expect(structuredClone(spec)).toEqual(spec);
    expect(() => createWeightMap(checkpoint, spec, names)).not.toThrow();
  });

  test("a convolution's ring counts with keys and values; its projections with queries", () => {
    const facts = describeCheckpoint(checkpoint, spec, createWeightMap(checkpoint, spec, names), {
      contextLength: 500,
    });
    expect(facts).toMatchObject({ numLayers: 4, numDenseLayers: 1, numMoeLayers: 3 });
    expect(facts).toMatchObject({ numAttentionLayers: 2, numConvLayers: 2 });
    // Two layers of keys and values, 2 heads of 32 floats; two rings of 2 + 128 positions of 256 floats.
    expect(facts.kv.bytes).toBe(2 * 2 * 500 * 2 * 32 * 4 + 2 * 130 * 256 * 4);
    expect(facts.kv.bytesPer1000Tokens).toBe(2 * 2 * 1000 * 2 * 32 * 4);
    expect(modelSizes(spec)).toMatchObject({ qkv: 3 * 256, attention: 256 });
  });

  test.each([
    [{ "lfm2moe.attention.head_count_kv": [0, 2, 0] }, FormatError, /an array of 4 items/],
    [{ "lfm2moe.attention.head_count_kv": [0, 2, 0, 3] }, FormatError, /query heads to be a multiple of KV heads/],
    [{ "lfm2moe.attention.head_count_kv": [0, 2, 0, -1] }, FormatError, /whole numbers from 0/],
    [{ "lfm2moe.shortconv.l_cache": 0 }, FormatError, /l_cache" to be an integer from 1/],
    [{ "lfm2moe.attention.sliding_window": 8 }, UnsupportedError, /sliding_window/],
  ])("%o is refused", (config, error, message) => {
    expect(() => describeModel(ggufHeader("lfm2moe", config))).toThrow(error);
    expect(() => describeModel(ggufHeader("lfm2moe", config))).toThrow(message);
  });

  test("the dense model; other kernels, heads by layer", () => {
    const dense = ggufHeader("lfm2", {}, [], { conv: 5, attnLayers: [0] });
    expect(lettersOf(describeModel(dense).spec)).toEqual(["ad", "cd", "cd", "cd"]);
    expect(describeModel(dense).spec.layers[1]?.conv).toEqual({ kernel: 5 });
    expect(() => mapOf(dense)).not.toThrow();
  });
});

describe("LFM2 from config.json", () => {
  const CONFIG = {
    architectures: ["Lfm2MoeForCausalLM"],
    hidden_size: 64,
    vocab_size: 320,
    max_position_embeddings: 512,
    norm_eps: 1e-5,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 96,
    moe_intermediate_size: 48,
    num_dense_layers: 1,
    num_experts: 8,
    num_experts_per_tok: 2,
    layer_types: ["conv", "full_attention", "conv"],
    conv_L_cache: 3,
    conv_bias: false,
    routed_scaling_factor: 1,
  };
  const DENSE = { ...CONFIG, architectures: ["Lfm2ForCausalLM"] };

  test("LFM2-MoE", () => {
    const { spec } = describeModel(hf(CONFIG));
    expect(lettersOf(spec)).toEqual(["cd", "ae", "ce"]);
    expect(spec).toMatchObject({ tiedEmbeddings: true, normEps: 1e-5 });
    expect(spec.layers[1]?.attention).toMatchObject({ ropeTheta: 1e6, qkNorm: true });
    expect(spec.layers[2]?.mlp).toMatchObject({ scoring: "sigmoid", selectionBias: true, renormalize: true });
    const checkpoint = withTensors(CONFIG);
    for (const name of [
      "model.embedding_norm.weight",
      "model.layers.0.conv.in_proj.weight",
      "model.layers.0.feed_forward.w3.weight",
      "model.layers.1.self_attn.q_layernorm.weight",
      "model.layers.2.feed_forward.expert_bias",
      "model.layers.2.feed_forward.experts.7.w2.weight",
    ]) {
      expect(checkpoint.tensors.has(name), name).toBe(true);
    }
    expect(() => mapOf(checkpoint)).not.toThrow();
  });

  test("taps with a dimension between, as folders have them", () => {
    const name = "model.layers.0.conv.conv.weight";
    const checkpoint = withTensors(CONFIG, [tensorOf(name, [64, 1, 3])]);
    expect(mapOf(checkpoint).matrix({ layer: 0, name: "conv" })).toMatchObject({ rows: 64, cols: 3 });
    expect(() => mapOf(withTensors(CONFIG, [tensorOf(name, [64, 2, 3])]))).toThrow(FormatError);
  });

  test("the dense model's width is cut to two thirds and rounded up, unless it says not to", () => {
    const widthOf = (more: object) => describeModel(hf({ ...DENSE, ...more })).spec.layers[0]?.mlp?.innerSize;
    expect(widthOf({ intermediate_size: 900, block_multiple_of: 64 })).toBe(640);
    expect(widthOf({ block_ff_dim: 900, block_multiple_of: 64, block_ffn_dim_multiplier: 0.5 })).toBe(320);
    expect(widthOf({ block_auto_adjust_ff_dim: false })).toBe(96);
    expect(lettersOf(describeModel(hf(DENSE)).spec)).toEqual(["cd", "ad", "cd"]);
    const byIndex = { ...DENSE, layer_types: undefined, full_attn_idxs: [0, 2] };
    expect(lettersOf(describeModel(hf(byIndex)).spec)).toEqual(["ad", "cd", "ad"]);
  });

  test.each([{ conv_bias: true }, { layer_types: ["conv", "mamba", "conv"] }, { norm_eps: undefined }])(
    "%o is refused",
    (more) => {
      expect(() => describeModel(hf({ ...CONFIG, ...more }))).toThrow(/conv_bias|layer_types|rms_norm_eps/);
    },
  );
});

describe("Nemotron-H from GGUF metadata", () => {
  test("layers of one block each", () => {
    const checkpoint = ggufHeader("latent-moe");
    const { spec, names } = describeModel(checkpoint);
    expect(lettersOf(spec)).toEqual(["a", "e", "a", "e", "-"]);
    expect(spec.layers[0]?.attention).toMatchObject({ numHeads: 8, numKvHeads: 2, headDim: 64, ropeTheta: null });
    expect(spec.layers[1]?.mlp).toEqual({
      kind: "moe",
      numExperts: 16,
      topK: 4,
      latentSize: 256,
      innerSize: 256,
      renormalize: true,
      routingScale: 2,
      scoring: "sigmoid",
      selectionBias: true,
      activation: "relu2",
      shared: { innerSize: 512, gated: false, activation: "relu2" },
    });
    expect(names.skipped).toEqual([{ layer: 4, kind: "Mamba-2", output: "blk.4.ssm_out.weight" }]);
    const weights = createWeightMap(checkpoint, spec, names);
    // An expert takes its two matrices and not a byte more.
    expect(weights.expertLayout(1)).toMatchObject({ gate: null, upWord: 0, downWord: 256 * 256, words: 2 * 256 * 256 });
    const { parameters } = describeCheckpoint(checkpoint, spec, weights);
    expect(parameters.experts).toBe(2 * 16 * 2 * 256 * 256);
  });

  test("any order of layers, and the dense kin", () => {
    expect(lettersOf(describeModel(ggufHeader("nemotron-pattern")).spec)).toEqual(["e", "e", "a", "-", "a", "e"]);
    const dense = ggufHeader("nemotron-dense");
    expect(lettersOf(describeModel(dense).spec)).toEqual(["d", "a", "d", "d", "-", "a"]);
    expect(describeModel(dense).spec.layers[0]?.mlp).toEqual({ kind: "dense", innerSize: 256, activation: "relu2" });
    expect(() => mapOf(dense)).not.toThrow();
  });

  test.each(["blk.0.attn_q.bias", "blk.1.ffn_up.bias", "blk.3.ssm_in.weight", "blk.4.ffn_up_exps.weight"])(
    "%s unread is refused",
    (name) => {
      expect(() => mapOf(ggufHeader("latent-moe", {}, [tensorOf(name, [16])]))).toThrow(UnsupportedError);
    },
  );

  test("a gating other than sigmoid is refused", () => {
    const softmax = ggufHeader("latent-moe", { "nemotron_h_moe.expert_gating_func": 1 });
    expect(() => describeModel(softmax)).toThrow(/expert_gating_func" is 1; supported: 2/);
  });
});

describe("layers that are left out", () => {
  const output = "blk.4.ssm_out.weight";
  /** The header with the output projection [3, 40] where `bytes` are. */
  const withOutput = (dtype: TensorInfo["dtype"], bytes: Uint8Array<ArrayBuffer>): Checkpoint => {
    const tensor: TensorInfo = { name: output, dtype, shape: [3, 32], shard: 0, offset: 0, byteLength: bytes.length };
    return { ...ggufHeader("latent-moe", {}, [tensor]), shards: [memorySource("model.gguf", bytes)] };
  };
  const floats = (change: (values: Float32Array) => void): Uint8Array<ArrayBuffer> => {
    const values = new Float32Array(96);
    change(values);
    return new Uint8Array(values.buffer);
  };

  test("zeros of either sign add nothing", async () => {
    await mapOf(
      withOutput(
        "F32",
        floats(() => {}),
      ),
    ).checkSkipped();
    await mapOf(
      withOutput(
        "F32",
        floats((values) => values.fill(-0)),
      ),
    ).checkSkipped();
  });

  test("in blocks too, whose codes need not be zero", async () => {
    const bytes = new Uint8Array(3 * 18).fill(0x88);
    for (let block = 0; block < 3; block++) bytes.fill(0, block * 18, block * 18 + 2); // scales
    await mapOf(withOutput("Q4_0", bytes)).checkSkipped();
    bytes[37] = 0x3c;
    await expect(
      mapOf(
        withOutput(
          "Q4_0",
          bytes.map((byte, i) => (i > 37 ? 0x21 : byte)),
        ),
      ).checkSkipped(),
    ).rejects.toThrow(UnsupportedError);
  });

  test.each([0, 50, 95])("one number that is not zero, at %i, is refused by the layer's name", async (at) => {
    const map = mapOf(
      withOutput(
        "F32",
        floats((values) => values.fill(1e-30, at, at + 1)),
      ),
    );
    await expect(map.checkSkipped()).rejects.toThrow(UnsupportedError);
    await expect(map.checkSkipped()).rejects.toThrow(
      /Layer 4 is a Mamba-2 layer.*"blk.4.ssm_out.weight" is not all zeros/,
    );
    await expect(map.checkSkipped()).rejects.toThrow(/Supported are attention, dense and MoE layers/);
  });

  test("a layer without the projection that could be checked is refused at once", () => {
    const checkpoint = ggufHeader("latent-moe");
    const tensors = new Map([...checkpoint.tensors].filter(([name]) => name !== output));
    expect(() => mapOf({ ...checkpoint, tensors })).toThrow(/Layer 4 is a Mamba-2 layer.*is missing/);
  });

  test("a model without such layers reads nothing", async () => {
    await mapOf(ggufHeader("lfm2moe")).checkSkipped(); // it has no shards to read
  });
});

describe("Nemotron-H from config.json", () => {
  const CONFIG = {
    architectures: ["NemotronHForCausalLM"],
    hidden_size: 64,
    vocab_size: 320,
    max_position_embeddings: 512,
    layer_norm_epsilon: 1e-5,
    num_hidden_layers: 5,
    hybrid_override_pattern: "*E-ME",
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 24,
    intermediate_size: 96,
    mlp_hidden_act: "relu2",
    n_routed_experts: 8,
    num_experts_per_tok: 2,
    moe_intermediate_size: 40,
    moe_shared_expert_intermediate_size: 72,
    moe_latent_size: 32,
    routed_scaling_factor: 2.5,
    n_group: 1,
    topk_group: 1,
  };
  const MAMBA = ["in_proj.weight", "conv1d.weight", "conv1d.bias", "A_log", "D", "dt_bias", "norm.weight"];
  const mamba = ["norm.weight", "mixer.out_proj.weight", ...MAMBA.map((name) => `mixer.${name}`)].map((name) =>
    tensorOf(`backbone.layers.3.${name}`, name.endsWith("out_proj.weight") ? [64, 32] : [32]),
  );

  test("a pattern of letters, and the same as names", () => {
    const { spec, names } = describeModel(hf(CONFIG));
    expect(lettersOf(spec)).toEqual(["a", "e", "d", "-", "e"]);
    expect(spec.layers[0]?.attention).toMatchObject({ headDim: 24, ropeTheta: null });
    expect(spec.layers[1]?.mlp).toMatchObject({
      latentSize: 32,
      scoring: "sigmoid",
      renormalize: true,
      routingScale: 2.5,
      activation: "relu2",
      shared: { innerSize: 72 },
    });
    expect(names.skipped).toEqual([{ layer: 3, kind: "Mamba-2", output: "backbone.layers.3.mixer.out_proj.weight" }]);
    const named = {
      ...CONFIG,
      num_hidden_layers: null,
      layers_block_type: ["attention", "moe", "mlp", "mamba", "moe"],
    };
    expect(describeModel(hf(named)).spec).toEqual(spec);
    const renamed = { ...named, layers_block_type: ["full_attention", "moe", "mlp", "linear_attention", "moe"] };
    expect(describeModel(hf(renamed)).spec).toEqual(spec);
  });

  test("names of tensors; those of the layer left out and of drafting layers stay unread", () => {
    const checkpoint = withTensors(CONFIG, [...mamba, tensorOf("mtp.layers.0.norm.weight", [64])]);
    for (const name of [
      "backbone.embeddings.weight",
      "backbone.norm_f.weight",
      "lm_head.weight",
      "backbone.layers.0.mixer.q_proj.weight",
      "backbone.layers.1.mixer.gate.e_score_correction_bias",
      "backbone.layers.1.mixer.fc1_latent_proj.weight",
      "backbone.layers.4.mixer.experts.7.down_proj.weight",
      "backbone.layers.4.mixer.shared_experts.up_proj.weight",
    ]) {
      expect(checkpoint.tensors.has(name), name).toBe(true);
    }
    expect(() => mapOf(checkpoint)).not.toThrow();
    const odd = withTensors(CONFIG, [...mamba, tensorOf("backbone.layers.2.mixer.A_log", [4])]);
    expect(() => mapOf(odd)).toThrow(/backbone.layers.2.mixer.A_log/);
  });

  test.each([
    [{ hybrid_override_pattern: "*EX" }, FormatError],
    [{ hybrid_override_pattern: "" }, FormatError],
    [{ layers_block_type: ["attention", 3] }, FormatError],
    [{ mlp_bias: true }, UnsupportedError],
    [{ mlp_hidden_act: "silu" }, UnsupportedError],
    [{ n_group: 4 }, UnsupportedError],
  ])("%o is refused", (more, error) => {
    expect(() => describeModel(hf({ ...CONFIG, ...more }))).toThrow(error);
  });
});
