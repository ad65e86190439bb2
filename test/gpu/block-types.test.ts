/** A whole model with every storage type in one file: held to float64, and to the bit whatever the budget. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { MemoryPlan } from "../../src/engine/types.ts";
import { BLOCKS, type DType, isScaled } from "../../src/formats/dtype.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { hfNames } from "../../src/models/mai-names.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { expectedDense, expertShape } from "../../src/weights/expected.ts";
import { hfExpertName, maiGgufTwin } from "../fixtures/mai-twin.ts";
import { encodeTensor, type FixtureTensor } from "../fixtures/make-gguf.ts";
import { makeSafetensors } from "../fixtures/make-safetensors.ts";
import { createRandom, nmse } from "../reference/compare.ts";
import { createReference } from "../reference/forward.ts";
import { loadGguf, maiModel } from "../reference/load.ts";
import { type Answer, answer, difference, openModel, type SharedDevice, shareDevice } from "./engines.ts";

// f32 sums over a few hundred terms against float64; a wrong element or a flipped route shows as 1e-4 and more.
const BOUND = 1e-9;
const PROMPT = [5, 266, 17, 90, 201, 44, 299, 0];
const STEPS = 3;
const CONTEXT = 32;

/** Every row a multiple of 256, so that each storage type can hold each matrix. */
const CONFIG = {
  architectures: ["MaiForCausalLM"],
  model_type: "mai",
  hidden_size: 256,
  num_hidden_layers: 2,
  layer_types: ["sliding_attention", "full_attention"],
  mlp_layer_types: ["sparse", "dense"],
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  vocab_size: 300,
  intermediate_size: 256,
  moe_latent_size: 256,
  moe_intermediate_size: 256,
  num_experts: 6,
  num_experts_per_tok: 2,
  norm_topk_prob: true,
  sliding_window: 5,
  rope_theta: 500,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 4096,
  tie_word_embeddings: true,
  eos_token_id: 0,
};

const floats = (bits: Uint32Array): Float32Array => new Float32Array(bits.buffer, bits.byteOffset, bits.length);

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => expect(device.complaints).toEqual([]));

/** Random float32 weights for `CONFIG`, as a folder. */
function randomFolder() {
  const { spec } = maiModel({ format: "safetensors", config: CONFIG, tensors: new Map() });
  const random = createRandom(1);
  const tensors: FixtureTensor[] = [];
  const add = (name: string, shape: readonly number[]) => {
    const [rows = 1, cols] = shape;
    const values = random.randomNormals(rows * (cols ?? 1), cols === undefined ? 0.2 : 1 / Math.sqrt(cols));
    const stored = Float32Array.from(values, (value) => (cols === undefined ? 1 + value : value));
    tensors.push({ name, dtype: "F32", shape, bytes: encodeTensor("F32", stored) });
  };
  for (const { ref, shape } of expectedDense(spec)) {
    add(typeof ref === "string" ? hfNames.model(ref) : hfNames.layer(ref.layer, ref.name), shape);
  }
  for (const [layer, { mlp }] of spec.layers.entries()) {
    for (let expert = 0; mlp?.kind === "moe" && expert < mlp.numExperts; expert++) {
      for (const matrix of ["gate", "up", "down"] as const) {
        add(hfExpertName(layer, expert, matrix), expertShape(mlp, matrix, spec.hiddenSize));
      }
    }
  }
  return openFileSet([
    { name: "config.json", bytes: new Uint8Array(new TextEncoder().encode(JSON.stringify(CONFIG))) },
    { name: "model.safetensors", bytes: makeSafetensors(tensors) },
  ]);
}

it("agrees with float64, and gives the same bits with all experts resident and with the fewest", async () => {
  const dtypes = (Object.keys(BLOCKS) as DType[]).filter((dtype) => !isScaled(dtype)); // GGUF has no FP8
  let taken = 0;
  const twin = await maiGgufTwin(await openCheckpoint(randomFolder()), () => dtypes[taken++ % dtypes.length]!);
  expect(taken).toBeGreaterThan(dtypes.length);
  const files = openFileSet([{ name: "model.gguf", bytes: twin }]);
  const model = await openModel(files);
  const { gate, up, down } = model.weights.expertLayout(0);
  expect(new Set([gate!.dtype, up.dtype, down.dtype]).size).toBe(3);

  const run = async (gpuBudgetBytes?: number): Promise<{ result: Answer; memory: MemoryPlan }> => {
    const options = gpuBudgetBytes === undefined ? {} : { gpuBudgetBytes };
    const { engine } = await device.engine(model, { contextLength: CONTEXT, ...options });
    const result = await answer(await engine.createSession(), PROMPT, STEPS);
    const memory = engine.memory();
    engine.dispose();
    return { result, memory };
  };
  const { result: resident, memory } = await run();
  const { result: paged } = await run(memory.minBudgetBytes);
  expect(difference(paged, resident)).toBe("");

  const { spec, tensor } = maiModel(loadGguf(twin));
  const reference = createReference(spec, tensor);
  const expected = [reference.forward(PROMPT), ...resident.ids.map((id) => reference.step(id))];
  const errors = expected.map(({ lastLogits }, i) => nmse(floats(resident.bits[i]!), lastLogits));
  console.log(`NMSE at most ${Math.max(...errors).toExponential(1)}`);
  expect(Math.max(...errors)).toBeLessThanOrEqual(BOUND);
});
