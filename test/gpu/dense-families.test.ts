/** Models without experts, one of each shape of block, and FP8 folders: held to float64. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isScaled } from "../../src/formats/dtype.ts";
import type { ModelSpec } from "../../src/models/spec.ts";
import { type RandomModel, randomFolder, randomGguf } from "../fixtures/random-model.ts";
import { nmse } from "../reference/compare.ts";
import { createReference } from "../reference/forward.ts";
import { type Answer, answer, difference, openModel, type SharedDevice, shareDevice } from "./engines.ts";

// f32 sums over a few hundred terms against float64; a wrong element or angle shows as 1e-4 and more.
const BOUND = 1e-9;
const PROMPT = [5, 66, 17, 90, 1, 44, 99, 0, 23];
const STEPS = 3;

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

const floats = (bits: Uint32Array): Float32Array => new Float32Array(bits.buffer, bits.byteOffset, bits.length);

/** Logits of the prompt and of every step, by the reference; `ids` are the tokens fed. */
function expectedOf(spec: ModelSpec, { tensor }: RandomModel, ids: readonly number[]) {
  const reference = createReference(spec, tensor);
  return [reference.forward(PROMPT), ...ids.map((id) => reference.step(id))].map(({ lastLogits }) => lastLogits);
}

async function agrees(model: RandomModel): Promise<Answer> {
  const { engine } = await device.engine(await openModel(model.files), { contextLength: 32 });
  const result = await answer(await engine.createSession(), PROMPT, STEPS);
  engine.dispose();
  const errors = expectedOf(model.spec, model, result.ids).map((logits, i) => nmse(floats(result.bits[i]!), logits));
  console.log(`${model.spec.architecture}: NMSE at most ${Math.max(...errors).toExponential(1)}`);
  expect(Math.max(...errors)).toBeLessThanOrEqual(BOUND);
  return result;
}

const SIZES = {
  hidden_size: 44,
  vocab_size: 103,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 100,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 12,
  intermediate_size: 30,
};
const LLAMA3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 40,
};

describe("folders", () => {
  it.each([
    ["Qwen2ForCausalLM", { tie_word_embeddings: true }],
    ["Qwen3ForCausalLM", { rope_parameters: { rope_type: "linear", factor: 3, rope_theta: 100 } }],
    ["LlamaForCausalLM", { rope_scaling: LLAMA3 }],
    ["MistralForCausalLM", { sliding_window: 4 }],
    [
      "GraniteForCausalLM",
      { embedding_multiplier: 12, residual_multiplier: 0.3, attention_multiplier: 0.2, logits_scaling: 4 },
    ],
    ["Glm4ForCausalLM", { partial_rotary_factor: 0.5, attention_bias: true }],
  ])("%s", async (name, more) => {
    const model = randomFolder({ ...SIZES, ...more, architectures: [name] });
    expect(model.spec.layers.every(({ mlp }) => mlp?.kind === "dense")).toBe(true);
    const { ids } = await agrees(model);
    if (!model.spec.layers[0]?.attention?.ropeScaling) return;
    // The stretch is seen: without it the reference is elsewhere.
    const layers = model.spec.layers.map((layer) => ({
      ...layer,
      attention: { ...layer.attention!, ropeScaling: undefined },
    }));
    const [plain, stretched] = [{ ...model.spec, layers }, model.spec].map((spec) => expectedOf(spec, model, ids)[0]!);
    expect(nmse(plain!, stretched!)).toBeGreaterThan(1000 * BOUND);
  });
});

it("a GGUF file with a factor for every pair", async () => {
  const metadata = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 512,
    "llama.embedding_length": 44,
    "llama.vocab_size": 103,
    "llama.feed_forward_length": 30,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.key_length": 12,
    "llama.attention.value_length": 12,
    "llama.rope.freq_base": 100,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
  };
  const model = randomGguf(metadata, { "rope_freqs.weight": [6], "output.weight": [103, 44] });
  expect(model.spec).toMatchObject({ ropeFactors: 6, tiedEmbeddings: false });
  const { ids } = await agrees(model);
  const [plain, stretched] = [{ ...model.spec, ropeFactors: undefined }, model.spec].map(
    (spec) => expectedOf(spec, model, ids)[0]!,
  );
  expect(nmse(plain!, stretched!)).toBeGreaterThan(1000 * BOUND);
});

it("FP8 with scales of tiles, rows and matrices, whatever is resident", async () => {
  const config = {
    ...SIZES,
    architectures: ["Qwen3MoeForCausalLM"],
    hidden_size: 150,
    head_dim: 36,
    num_experts: 5,
    num_experts_per_tok: 2,
    moe_intermediate_size: 133,
    norm_topk_prob: true,
    quantization_config: { quant_method: "fp8", weight_block_size: [128, 128] },
  };
  const model = randomFolder(config, true);
  const resident = await agrees(model);
  const opened = await openModel(model.files);
  const { gate, up, down } = opened.weights.expertLayout(0);
  expect([gate, up, down].every((matrix) => isScaled(matrix!.dtype))).toBe(true);
  const { engine: whole } = await device.engine(opened, { contextLength: 32 });
  const gpuBudgetBytes = whole.memory().minBudgetBytes;
  whole.dispose();
  const { engine } = await device.engine(opened, { contextLength: 32, gpuBudgetBytes });
  expect(difference(await answer(await engine.createSession(), PROMPT, STEPS), resident)).toBe("");
  engine.dispose();
});
