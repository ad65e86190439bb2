/** Hugging Face folders of other families: the weights of a small GGUF file under their names give llama.cpp's logits. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { folderOf } from "../fixtures/hf-folder.ts";
import { openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchJson, goldenFile } from "./fixtures.ts";

// As in families.test.ts.
const BOUND = 1e-4;

interface Golden {
  readonly exact: { readonly 5: { readonly tokens: readonly number[]; readonly lastLogits: readonly number[] } };
}

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

const SIZES = { hidden_size: 256, vocab_size: 320, max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 1e6 };

it.each([
  [
    "qwen3moe",
    {
      ...SIZES,
      architectures: ["Qwen3MoeForCausalLM"],
      num_hidden_layers: 3,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 128,
      num_experts: 16,
      num_experts_per_tok: 4,
      moe_intermediate_size: 256,
      norm_topk_prob: true,
    },
  ],
  [
    "mixtral",
    {
      ...SIZES,
      architectures: ["MixtralForCausalLM"],
      num_hidden_layers: 2,
      num_attention_heads: 8,
      num_key_value_heads: 2,
      num_local_experts: 8,
      num_experts_per_tok: 2,
      intermediate_size: 256,
    },
  ],
  [
    "qwen2moe",
    {
      ...SIZES,
      architectures: ["Qwen2MoeForCausalLM"],
      num_hidden_layers: 2,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      num_experts: 12,
      num_experts_per_tok: 3,
      moe_intermediate_size: 256,
      shared_expert_intermediate_size: 512,
      norm_topk_prob: false,
    },
  ],
  [
    "olmoe",
    {
      ...SIZES,
      architectures: ["OlmoeForCausalLM"],
      rope_theta: 1e4,
      num_hidden_layers: 2,
      num_attention_heads: 8,
      num_key_value_heads: 8,
      num_experts: 16,
      num_experts_per_tok: 4,
      intermediate_size: 256,
      norm_topk_prob: false,
      clip_qkv: null,
    },
  ],
  [
    "granitemoe",
    {
      ...SIZES,
      architectures: ["GraniteMoeSharedForCausalLM"],
      rope_theta: 1e4,
      num_hidden_layers: 3,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      num_local_experts: 16,
      num_experts_per_tok: 4,
      intermediate_size: 256,
      shared_intermediate_size: 512,
      embedding_multiplier: 12,
      residual_multiplier: 0.22,
      attention_multiplier: 0.0625,
      logits_scaling: 0.064,
      tie_word_embeddings: true,
    },
  ],
  [
    "glm4moe",
    {
      ...SIZES,
      architectures: ["Glm4MoeForCausalLM"],
      num_hidden_layers: 3,
      num_attention_heads: 8,
      num_key_value_heads: 2,
      head_dim: 64,
      partial_rotary_factor: 0.5,
      intermediate_size: 512,
      moe_intermediate_size: 256,
      first_k_dense_replace: 1,
      n_routed_experts: 16,
      n_shared_experts: 1,
      num_experts_per_tok: 4,
      n_group: 1,
      topk_group: 1,
      norm_topk_prob: true,
      routed_scaling_factor: 1.5,
      attention_bias: true,
      use_qk_norm: true,
    },
  ],
  [
    "gpt-oss",
    {
      ...SIZES,
      architectures: ["GptOssForCausalLM"],
      rope_theta: 150000,
      num_hidden_layers: 4,
      num_attention_heads: 8,
      num_key_value_heads: 2,
      head_dim: 64,
      sliding_window: 32,
      layer_types: ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
      intermediate_size: 256,
      num_local_experts: 16,
      num_experts_per_tok: 4,
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
      quantization_config: { quant_method: "mxfp4" },
    },
    "mxfp4",
  ],
])("%s", async (family, config, variant = "f32") => {
  const file = goldenFile(`${family}-${variant}`);
  const folder = await folderOf(await openCheckpoint(file), config, { packed: variant === "mxfp4" });
  const golden = await fetchJson<Golden>(`/test/fixtures/gguf/goldens/${family}-${variant}.json`);
  const { tokens, lastLogits } = golden.exact[5];
  const { engine } = await device.engine(await openModel(folder), { contextLength: 32 });
  const logits = await (await engine.createSession()).prefill(tokens);
  const error = Math.max(...lastLogits.map((value, i) => Math.abs(value - (logits[i] ?? Number.NaN))));
  console.log(`${family} from a folder: off by at most ${error.toExponential(1)}`);
  expect(error).toBeLessThan(BOUND);
  engine.dispose();
});
