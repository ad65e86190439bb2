/** The MAI blueprint from both containers, and every refusal by its own name. */
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { MAI_FOLDERS, openGgufBytes, openMai, readRepositoryFile } from "../../fixtures/files.ts";
import { maiGgufTwin } from "../../fixtures/mai-twin.ts";

const base = await openMai("base-f32");
const twin = await openGgufBytes(await maiGgufTwin(base, "F32"));

const withConfig = (checkpoint: Checkpoint, changes: object): Checkpoint => ({
  ...checkpoint,
  config: { ...checkpoint.config, ...changes },
});

describe("what a checkpoint says", () => {
  test("base-f32 in full", () => {
    const { spec } = describeModel(base);
    const attention = { numHeads: 4, numKvHeads: 2, headDim: 16, qkNorm: true };
    const local = { ...attention, window: 8, ropeTheta: 10000 };
    const dense = { kind: "dense", innerSize: 64 };
    const moe = {
      kind: "moe",
      numExperts: 16,
      topK: 4,
      latentSize: 32,
      innerSize: 48,
      renormalize: false,
      routingScale: 1,
    };
    const layer = (isLast: boolean, mlp: object) => ({
      attention: isLast ? { ...attention, window: null, ropeTheta: null } : local,
      mlp,
      outputNorms: true,
    });
    expect(spec).toEqual({
      architecture: "mai",
      name: "mai",
      hiddenSize: 64,
      vocabSize: 300,
      contextLength: 262144,
      normEps: 1e-6,
      tiedEmbeddings: true,
      stopIds: [0],
      layers: [0, 1, 2, 3, 4, 5].map((i) => layer(i === 5, i % 2 === 1 ? moe : dense)),
    });
    expect(structuredClone(spec)).toEqual(spec);
  });

  test.each(MAI_FOLDERS)("%s and its GGUF twin say the same", async (folder) => {
    const checkpoint = await openMai(folder);
    const { spec } = describeModel(checkpoint);
    const fromGguf = describeModel(await openGgufBytes(await maiGgufTwin(checkpoint, "F32"))).spec;
    expect(fromGguf).toEqual({ ...spec, normEps: Math.fround(spec.normEps) });
    expect(spec.layers).toHaveLength(Number(checkpoint.config.num_hidden_layers));
  });

  test("the default model", async () => {
    const checkpoint = await openGgufBytes(
      readRepositoryFile("demo/public/models/octavo-tales/octavo-tales-q8_0.gguf"),
    );
    const { spec, names } = describeModel(checkpoint);
    expect(spec).toMatchObject({
      name: "octavo-tales",
      hiddenSize: 256,
      vocabSize: 4096,
      contextLength: 512,
      stopIds: [0],
    });
    expect(spec.layers[5]?.attention).toEqual({
      numHeads: 4,
      numKvHeads: 2,
      headDim: 64,
      window: null,
      ropeTheta: null,
      qkNorm: true,
    });
    expect(spec.layers[1]?.mlp).toMatchObject({
      numExperts: 64,
      topK: 8,
      latentSize: 128,
      innerSize: 192,
      renormalize: true,
    });
    expect(names.layer(1, "attnOutputNorm")).toBe("blk.1.post_attention_norm.weight");
    expect(names.experts(3, "up")).toEqual({ kind: "stacked", name: "blk.3.ffn_up_exps.weight" });
  });

  test("optional fields", () => {
    const specOf = (changes: object) => describeModel(withConfig(base, changes)).spec;
    expect(specOf({ eos_token_id: [1, 299] }).stopIds).toEqual([1, 299]);
    expect(specOf({ eos_token_id: undefined }).stopIds).toEqual([]);
    expect(specOf({ eos_token_id: null }).stopIds).toEqual([]);
    expect(specOf({ routed_scaling_factor: 2.5 }).layers[1]?.mlp).toMatchObject({ routingScale: 2.5 });
    expect(specOf({ tie_word_embeddings: false }).tiedEmbeddings).toBe(false);
    expect(specOf({ rope_scaling: null, attention_bias: false, n_shared_experts: 0 }).hiddenSize).toBe(64);
  });

  test("a model without sparse or without local layers needs none of their fields", () => {
    const none = { num_experts: undefined, moe_latent_size: undefined, num_experts_per_tok: undefined };
    const dense = withConfig(base, { mlp_layer_types: Array(6).fill("dense"), ...none });
    expect(describeModel(dense).spec.layers.every(({ mlp }) => mlp?.kind === "dense")).toBe(true);
    const global = withConfig(base, { layer_types: Array(6).fill("full_attention"), sliding_window: null });
    expect(describeModel(global).spec.layers.every(({ attention }) => attention?.window === null)).toBe(true);
  });
});

describe("nonsense is refused by its name", () => {
  const hf: [object, RegExp][] = [
    [{ num_hidden_layers: 0 }, /config.json: expected "num_hidden_layers" to be an integer from 1 to 1024, got 0/],
    [{ num_hidden_layers: 7 }, /"layer_types" to be an array of 7 items/],
    [{ hidden_size: 1e9 }, /"hidden_size" to be an integer from 1 to/],
    [{ hidden_size: 64.5 }, /"hidden_size".*got 64.5/],
    [{ hidden_size: "64" }, /"hidden_size".*got "64"/],
    [{ vocab_size: undefined }, /"vocab_size".*got nothing/],
    [{ num_attention_heads: 5 }, /query heads to be a multiple of KV heads, got 5 and 2/],
    [{ head_dim: 15 }, /even head dimension.*got 15/],
    [{ num_experts_per_tok: 17 }, /"num_experts_per_tok" to be an integer from 1 to 16, got 17/],
    [{ num_experts: 100, num_experts_per_tok: 65 }, /"num_experts_per_tok" to be an integer from 1 to 64, got 65/],
    [{ moe_latent_size: undefined }, /"moe_latent_size".*got nothing/],
    [{ norm_topk_prob: 1 }, /"norm_topk_prob" to be true or false, got 1/],
    [
      { layer_types: Array(6).fill("linear") },
      /"layer_types" to be an array of "sliding_attention" or "full_attention"/,
    ],
    [{ mlp_layer_types: "dense" }, /"mlp_layer_types" to be an array of 6 items/],
    [{ sliding_window: null }, /"sliding_window".*got null/],
    [{ rms_norm_eps: 0 }, /"rms_norm_eps" to be a positive number/],
    [{ rope_theta: -1 }, /"rope_theta" to be a positive number/],
    [{ eos_token_id: 300 }, /"eos_token_id" to be token ids from 0 to 299, got 300/],
    [{ eos_token_id: [1, "x"] }, /"eos_token_id".*got \[1,"x"\]/],
    [{ architectures: undefined }, /expected "architectures" to list a model class/],
    [{ architectures: [5] }, /expected "architectures"/],
  ];
  test.each(hf)("config.json %j", (changes, message) => {
    expect(() => describeModel(withConfig(base, changes))).toThrow(message);
    expect(() => describeModel(withConfig(base, changes))).toThrow(FormatError);
  });

  const unsupported: [Checkpoint, object, RegExp][] = [
    [base, { scoring_func: "sigmoid" }, /"scoring_func" is "sigmoid"; supported: "softmax"/],
    [base, { hidden_act: "gelu" }, /"hidden_act" is "gelu"; supported: "silu"/],
    [base, { attention_bias: true }, /"attention_bias" is true; supported: false/],
    [base, { n_shared_experts: 1 }, /"n_shared_experts" is 1/],
    [base, { rope_scaling: { type: "yarn" } }, /"rope_scaling" is not supported/],
    [
      base,
      { architectures: ["BertForMaskedLM"] },
      /BertForMaskedLM is not supported; supported: mai \(MaiForCausalLM\)/,
    ],
    [twin, { "mai.expert_gating_func": 2 }, /"mai.expert_gating_func" is 2; supported: 1/],
    [twin, { "mai.attention.value_length": 8 }, /"mai.attention.value_length" is 8; supported: 16/],
    [twin, { "mai.rope.dimension_count": 8 }, /"mai.rope.dimension_count" is 8; supported: 16/],
    [twin, { "general.architecture": "bert" }, /Architecture bert is not supported/],
  ];
  test.each(unsupported)("unsupported: %#", (checkpoint, changes, message) => {
    expect(() => describeModel(withConfig(checkpoint, changes))).toThrow(message);
    expect(() => describeModel(withConfig(checkpoint, changes))).toThrow(UnsupportedError);
  });

  const gguf: [object, RegExp][] = [
    [{ "mai.block_count": undefined }, /GGUF metadata: expected "mai.block_count"/],
    [{ "mai.block_count": 2n ** 60n }, /"mai.block_count".*got 1152921504606846976/],
    [{ "mai.moe_layer_pattern": [true] }, /"mai.moe_layer_pattern" to be an array of 6 items/],
    [{ "mai.attention.sliding_window_pattern": Array(6).fill(1) }, /to be an array of true or false/],
    [{ "tokenizer.ggml.eos_token_id": -1 }, /"tokenizer.ggml.eos_token_id"/],
    [{ "general.architecture": 5 }, /expected "general.architecture" to be a string/],
  ];
  test.each(gguf)("GGUF metadata %#", (changes, message) => {
    expect(() => describeModel(withConfig(twin, changes))).toThrow(message);
    expect(() => describeModel(withConfig(twin, changes))).toThrow(FormatError);
  });

  test("biases in the file", () => {
    const tensors = new Map(base.tensors);
    const name = "model.layers.0.self_attn.q_proj.bias";
    tensors.set(name, { name, dtype: "F32", shape: [64], shard: 0, offset: 0, byteLength: 256 });
    expect(() => describeModel({ ...base, tensors })).toThrow(/q_proj.bias": biases are not supported/);
  });

  test("GGUF without a vocabulary size takes it from the embedding", () => {
    expect(describeModel(withConfig(twin, { "mai.vocab_size": undefined })).spec.vocabSize).toBe(300);
    const bare = { ...withConfig(twin, { "mai.vocab_size": undefined }), tensors: new Map() };
    expect(() => describeModel(bare)).toThrow(/expected "token_embd.weight"/);
  });
});
