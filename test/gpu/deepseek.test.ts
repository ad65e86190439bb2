/**
 * DeepSeek-V2 and V3 from Hugging Face folders: the weights of the small GGUF file under their names give llama.cpp's
 * logits, from which the float64 reference is as close; and that reference holds for what no stored result covers, V2's
 * routing, plain queries, one group or many, and sizes that are whole quads of nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import {
  type FolderConfig,
  folderFiles,
  plannedTensors,
  randomTensors,
  type Tensors,
  weightsOf,
} from "../fixtures/deepseek.ts";
import { createRandom } from "../reference/compare.ts";
import { deepseekLogits } from "../reference/deepseek.ts";
import { bitDifference, budgetFor, openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchJson, goldenFile } from "./fixtures.ts";

// As in families.test.ts.
const BOUND = 1e-4;

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return Math.max(...Array.from(expected, (value, i) => Math.abs(value - (actual[i] ?? Number.NaN))));
}

const YARN = {
  type: "yarn",
  factor: 4,
  original_max_position_embeddings: 256,
  beta_fast: 32,
  beta_slow: 1,
  mscale: 1,
  mscale_all_dim: 1,
} as const;

/** The shape of the generated file. */
const GENERATED: FolderConfig = {
  architectures: ["DeepseekV3ForCausalLM"],
  hidden_size: 256,
  vocab_size: 320,
  max_position_embeddings: 2048,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  qk_nope_head_dim: 64,
  qk_rope_head_dim: 32,
  v_head_dim: 64,
  kv_lora_rank: 256,
  q_lora_rank: 256,
  first_k_dense_replace: 1,
  intermediate_size: 512,
  moe_intermediate_size: 256,
  n_routed_experts: 16,
  num_experts_per_tok: 4,
  n_shared_experts: 1,
  n_group: 4,
  topk_group: 2,
  topk_method: "noaux_tc",
  scoring_func: "sigmoid",
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  rms_norm_eps: 1e-5,
  rope_theta: 1e4,
  rope_scaling: YARN,
};

const GGUF_NAMES: Readonly<Record<string, string>> = {
  "input_layernorm.weight": "attn_norm.weight",
  "post_attention_layernorm.weight": "ffn_norm.weight",
  "self_attn.q_a_proj.weight": "attn_q_a.weight",
  "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
  "self_attn.q_b_proj.weight": "attn_q_b.weight",
  "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
  "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
  "self_attn.o_proj.weight": "attn_output.weight",
  "mlp.gate_proj.weight": "ffn_gate.weight",
  "mlp.up_proj.weight": "ffn_up.weight",
  "mlp.down_proj.weight": "ffn_down.weight",
  "mlp.gate.weight": "ffn_gate_inp.weight",
  "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
  "mlp.shared_experts.gate_proj.weight": "ffn_gate_shexp.weight",
  "mlp.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
  "mlp.shared_experts.down_proj.weight": "ffn_down_shexp.weight",
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};

/** The tensors of a folder of `config` with the numbers of `gguf`. */
async function namedAsFolder(gguf: Checkpoint, config: FolderConfig): Promise<Tensors> {
  const stored = new Map<string, Float32Array>();
  for (const [name, { shard, offset, byteLength }] of gguf.tensors) {
    const bytes = await gguf.shards[shard]!.read(offset, byteLength);
    stored.set(name, new Float32Array(bytes.slice().buffer));
  }
  const numbersOf = (name: string, count: number): Float32Array => {
    const [, layer, rest = name] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
    const prefix = layer === undefined ? "" : `blk.${layer}.`;
    const [, expert, matrix] = /^mlp\.experts\.(\d+)\.(\w+)_proj/.exec(rest) ?? [];
    if (expert !== undefined) {
      return stored
        .get(`${prefix}ffn_${matrix}_exps.weight`)!
        .subarray(Number(expert) * count, (Number(expert) + 1) * count);
    }
    if (rest !== "self_attn.kv_b_proj.weight") return stored.get(prefix + GGUF_NAMES[rest]!)!;
    return joined(stored.get(`${prefix}attn_k_b.weight`)!, stored.get(`${prefix}attn_v_b.weight`)!, config);
  };
  return new Map(
    plannedTensors(config).map(({ name, shape }) => {
      const count = shape.reduce((a, b) => a * b);
      return [name, { shape, values: numbersOf(name, count) }];
    }),
  );
}

/** kUp [H, rank, plain] and vUp [H, v, rank] as one matrix [H, plain + v, rank]. */
function joined(kUp: Float32Array, vUp: Float32Array, config: FolderConfig): Float32Array {
  const { num_attention_heads: heads, qk_nope_head_dim: plain, v_head_dim: value, kv_lora_rank: rank } = config;
  return Float32Array.from({ length: heads * (plain + value) * rank }, (_, i) => {
    const [head, row, col] = [Math.floor(i / rank / (plain + value)), Math.floor(i / rank) % (plain + value), i % rank];
    return row < plain ? kUp[(head * rank + col) * plain + row]! : vUp[(head * value + row - plain) * rank + col]!;
  });
}

interface Golden {
  readonly exact: { readonly 5: { readonly tokens: readonly number[]; readonly lastLogits: readonly number[] } };
}

test("the generated file as a folder: Octavo and the reference agree with llama.cpp", async () => {
  const file = goldenFile("deepseek2-f32");
  const tensors = await namedAsFolder(await openCheckpoint(file), GENERATED);
  const golden = await fetchJson<Golden>("/test/fixtures/gguf/goldens/deepseek2-f32.json");
  const { tokens, lastLogits } = golden.exact[5];
  const model = await openModel(openFileSet(folderFiles(GENERATED, tensors)));
  const { engine } = await device.engine(model, { contextLength: 32 });
  const logits = await (await engine.createSession()).prefill(tokens);
  console.log(`deepseek2 from a folder: off by at most ${worst(logits, lastLogits).toExponential(1)}`);
  expect(worst(logits, lastLogits)).toBeLessThan(BOUND);
  const exact = deepseekLogits(GENERATED, weightsOf(tensors), tokens);
  console.log(`float64 reference: off by at most ${worst(exact, lastLogits).toExponential(1)}`);
  expect(worst(exact, lastLogits)).toBeLessThan(BOUND);
  engine.dispose();
});

/** Sizes that are whole quads of nothing. */
const ODD = {
  hidden_size: 37,
  vocab_size: 61,
  num_attention_heads: 3,
  qk_nope_head_dim: 7,
  qk_rope_head_dim: 6,
  v_head_dim: 9,
  kv_lora_rank: 21,
  intermediate_size: 50,
  moe_intermediate_size: 19,
};
const V2 = {
  architectures: ["DeepseekV2ForCausalLM"],
  topk_method: "group_limited_greedy",
  scoring_func: "softmax",
  norm_topk_prob: false,
} as const;

const MODELS: readonly (FolderConfig & { readonly title: string })[] = [
  { title: "V2, plain queries, groups by their best", ...GENERATED, ...ODD, ...V2, q_lora_rank: null },
  {
    title: "V2-Lite: plain queries, no groups, two shared experts, mscale 0.7",
    ...GENERATED,
    ...ODD,
    ...V2,
    q_lora_rank: null,
    topk_method: "greedy",
    n_group: 1,
    topk_group: 1,
    n_shared_experts: 2,
    routed_scaling_factor: 1,
    rope_scaling: { ...YARN, factor: 40, original_max_position_embeddings: 16, mscale: 0.7, mscale_all_dim: 0.7 },
  },
  {
    title: "V2, compressed queries, mscale without mscale_all_dim",
    ...GENERATED,
    ...ODD,
    ...V2,
    q_lora_rank: 15,
    v_head_dim: 16,
    rope_scaling: { ...YARN, mscale: 0.5, mscale_all_dim: 0 },
  },
  {
    title: "V3, two of eight groups, no stretch, no shared experts, all layers sparse",
    ...GENERATED,
    ...ODD,
    q_lora_rank: 22,
    n_group: 8,
    num_experts_per_tok: 3,
    first_k_dense_replace: 0,
    n_shared_experts: null,
    rope_scaling: null,
  },
  { title: "V3 of dense layers only", ...GENERATED, ...ODD, q_lora_rank: 8, first_k_dense_replace: 3 },
];

describe.each(MODELS)("$title", ({ title, ...config }) => {
  test("agrees with the reference in prefill and decode, whatever is resident", async () => {
    const tensors = randomTensors(config, createRandom(title.length, true));
    const model = await openModel(openFileSet(folderFiles(config, tensors)));
    const { engine } = await device.engine(model, { contextLength: 48 });
    const { engine: paged } = await device.engine(model, {
      contextLength: 48,
      gpuBudgetBytes: budgetFor(engine.memory(), 0.25),
    });
    const tokens = Array.from({ length: 36 }, (_, i) => (i * 17 + 5) % config.vocab_size);
    const [session, other] = [await engine.createSession(), await paged.createSession()];
    let [logits, otherLogits] = [await session.prefill(tokens), await other.prefill(tokens)];
    for (const id of [null, 7, 40, 7]) {
      if (id !== null) {
        tokens.push(id);
        [logits, otherLogits] = [await session.decode(id), await other.decode(id)];
      }
      const exact = deepseekLogits(config, weightsOf(tensors), tokens);
      expect(worst(logits, exact)).toBeLessThan(BOUND);
      expect(bitDifference(otherLogits, logits)).toBe("");
    }
    const latents = config.num_hidden_layers * 48 * Math.ceil((config.kv_lora_rank + config.qk_rope_head_dim) / 4) * 16;
    expect(engine.stats().gpuBytes.kv).toBe(session.kvBytes);
    expect(session.kvBytes).toBe(latents);
    engine.dispose();
    paged.dispose();
  });
});
