/** Hugging Face folders of other families: the weights of a small GGUF file under their names give llama.cpp's logits. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../src/models/registry.ts";
import type { FileSet } from "../../src/sources/byte-source.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { expectedDense, expertShape } from "../../src/weights/expected.ts";
import type { FixtureTensor } from "../fixtures/make-gguf.ts";
import { makeSafetensors } from "../fixtures/make-safetensors.ts";
import { openModel, type SharedDevice, shareDevice } from "./engines.ts";
import { fetchJson } from "./fixtures.ts";

// As in families.test.ts.
const BOUND = 1e-4;

type Bytes = Uint8Array<ArrayBuffer>;

interface Golden {
  readonly exact: { readonly 5: { readonly tokens: readonly number[]; readonly lastLogits: readonly number[] } };
}

let device: SharedDevice;
beforeAll(async () => {
  device = await shareDevice();
});
afterAll(() => {
  expect(device.complaints).toEqual([]);
  device.close();
});

/** Rows of queries or keys from the order in which neighbours turn to that in which halves do. */
function halvesOf(bytes: Bytes, shape: readonly number[], headDim: number): Bytes {
  const [rows = 0, cols = 0] = shape;
  const out = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row++) {
    const [head, at] = [Math.floor(row / headDim), row % headDim];
    const half = headDim / 2;
    const from = head * headDim + (at < half ? 2 * at : 2 * (at - half) + 1);
    out.set(bytes.subarray(from * cols * 4, (from + 1) * cols * 4), row * cols * 4);
  }
  return out;
}

/** The folder with the weights of `gguf`, named as `config` wants them. */
async function folderOf(gguf: Checkpoint, config: Record<string, unknown>): Promise<FileSet> {
  const from = describeModel(gguf);
  const to = describeModel({ ...gguf, container: "safetensors", config });
  const read = async (name: string): Promise<Bytes> => {
    const { shard, offset, byteLength } = gguf.tensors.get(name)!;
    return (await gguf.shards[shard]!.read(offset, byteLength)) as Bytes;
  };
  const tensors: FixtureTensor[] = [];
  for (const { ref, shape } of expectedDense(to.spec)) {
    const names = [from, to].map((model) =>
      typeof ref === "string" ? model.names.model(ref) : model.names.layer(ref.layer, ref.name),
    );
    const bytes = await read(names[0]!);
    const layer = typeof ref === "string" ? undefined : from.spec.layers[ref.layer]!.attention;
    const turned = typeof ref !== "string" && (ref.name === "q" || ref.name === "k");
    const moved = turned && layer?.ropePairing === "interleaved" ? halvesOf(bytes, shape, layer.headDim) : bytes;
    tensors.push({ name: names[1]!, dtype: "F32", shape: [...shape], bytes: moved });
  }
  for (const [layer, { mlp }] of to.spec.layers.entries()) {
    if (mlp?.kind !== "moe") continue;
    for (const matrix of ["gate", "up", "down"] as const) {
      const [stacked, separate] = [from.names.experts(layer, matrix), to.names.experts(layer, matrix)];
      if (stacked.kind !== "stacked" || separate.kind !== "separate") throw new Error("experts are not as expected");
      const all = await read(stacked.name);
      const size = all.length / mlp.numExperts;
      for (let expert = 0; expert < mlp.numExperts; expert++) {
        const shape = [...expertShape(mlp, matrix, to.spec.hiddenSize)];
        const bytes = all.slice(expert * size, (expert + 1) * size);
        tensors.push({ name: separate.nameOf(expert), dtype: "F32", shape, bytes });
      }
    }
  }
  return openFileSet([
    { name: "config.json", bytes: new TextEncoder().encode(JSON.stringify(config)) },
    { name: "model.safetensors", bytes: makeSafetensors(tensors) },
  ]);
}

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
])("%s", async (family, config) => {
  const file = openFileSet(`${location.origin}/node_modules/.cache/octavo-fixtures/${family}-f32.gguf`);
  const folder = await folderOf(await openCheckpoint(file), config);
  const golden = await fetchJson<Golden>(`/test/fixtures/gguf/goldens/${family}-f32.json`);
  const { tokens, lastLogits } = golden.exact[5];
  const { engine } = await device.engine(await openModel(folder), { contextLength: 32 });
  const logits = await (await engine.createSession()).prefill(tokens);
  const error = Math.max(...lastLogits.map((value, i) => Math.abs(value - (logits[i] ?? Number.NaN))));
  console.log(`${family} from a folder: off by at most ${error.toExponential(1)}`);
  expect(error).toBeLessThan(BOUND);
  engine.dispose();
});
