/**
 * Virtual MAI checkpoints in both containers. The numbers are random, with sizes that make a forward pass behave:
 *
 * - matrices N(0, 1 / fan-in), so that a normed input gives outputs of size one (0.03 for 1024 columns);
 * - embeddings N(0, 4 / width), so that tied logits spread by about two;
 * - norm gains 1 +- 0.1, but for what attention adds to the stream, which is three times an embedding in size. At one,
 *   the mean of all values in sight would drown the token itself, and every token of a text choose the same experts;
 * - router rows N(0, 2.25 / width), times exp(0.35 N(0, 1)) per expert: experts differ in how often they are chosen.
 *
 * A small rung (64 experts, top 8) repeats 0.28 of a token's experts in the next one, where chance is 0.125, and a quarter
 * of its experts take 0.55 of the picks: between independent draws and what is known of trained models.
 */
import type { DType } from "../../src/formats/dtype.ts";
import type { JsonObject } from "../../src/formats/read-json.ts";
import { ggufNames, hfNames } from "../../src/models/mai-names.ts";
import type { ModelSpec, MoeSpec } from "../../src/models/spec.ts";
import { expectedDense, expertMatrices, expertShape, type TensorRef } from "../../src/weights/expected.ts";
import { hfExpertName, maiMetadata } from "../fixtures/mai-twin.ts";
import { type Blueprint, type Container, type Role, storedType } from "./blueprint.ts";
import { numElements, type Values, type VirtualTensor } from "./tensor-bytes.ts";

const EMBEDDING_SPREAD = 2;
const ROUTER_SPREAD = 1.5;
const ROUTER_ROW_SPREAD = 0.35;
const ATTENTION_SHARE = 3;
const GAIN_DEVIATION = 0.1;

/** The checkpoint of `spec` in `container`, matrices in `type`. */
export function maiBlueprint(spec: ModelSpec, container: Container, type: DType): Blueprint {
  const dense = expectedDense(spec).map(({ ref, shape }) => denseTensor(container, type, ref, shape));
  const experts = spec.layers.flatMap(({ mlp }, layer) => {
    return mlp?.kind === "moe" ? expertTensors(spec, container, type, layer, mlp) : [];
  });
  const tensors = [...dense, ...experts];
  return { name: spec.name, metadata: maiMetadata(spec), config: maiConfig(spec), tensors };
}

function denseTensor(container: Container, type: DType, ref: TensorRef, shape: readonly number[]): VirtualTensor {
  const names = container === "gguf" ? ggufNames : hfNames;
  const name = typeof ref === "string" ? names.model(ref) : names.layer(ref.layer, ref.name);
  const key = typeof ref === "string" ? ref : `${ref.layer}.${ref.name}`;
  const rowLength = shape.at(-1) ?? 1;
  const role = roleOf(ref, shape);
  const dtype = storedType(type, role, rowLength);
  return { name, dtype, shape, values: { key, ...sizesOf(ref, role, rowLength) }, firstElement: 0 };
}

function roleOf(ref: TensorRef, shape: readonly number[]): Role {
  if (shape.length === 1) return "vector";
  if (typeof ref === "string") return "embedding";
  return ref.name === "router" ? "router" : "matrix";
}

function sizesOf(ref: TensorRef, role: Role, rowLength: number): Omit<Values, "key"> {
  const unit = 1 / Math.sqrt(rowLength);
  if (role === "embedding") return { deviation: EMBEDDING_SPREAD * unit, mean: 0 };
  if (role === "router") return { deviation: ROUTER_SPREAD * unit, mean: 0, rowSpread: ROUTER_ROW_SPREAD };
  if (role !== "vector") return { deviation: unit, mean: 0 };
  const isAttention = typeof ref !== "string" && ref.name === "attnOutputNorm";
  const mean = isAttention ? ATTENTION_SHARE * EMBEDDING_SPREAD * unit : 1;
  return { deviation: GAIN_DEVIATION * mean, mean };
}

/** The experts of a layer: three stacked tensors in a GGUF file, three of every expert's own in a folder. */
function expertTensors(
  spec: ModelSpec,
  container: Container,
  type: DType,
  layer: number,
  mlp: MoeSpec,
): VirtualTensor[] {
  const matrices = expertMatrices(mlp).map((matrix) => {
    const shape = expertShape(mlp, matrix, spec.hiddenSize);
    const [, cols] = shape;
    const values = { key: `${layer}.experts.${matrix}`, deviation: 1 / Math.sqrt(cols), mean: 0 };
    return { matrix, shape, values, dtype: storedType(type, "expert", cols) };
  });
  if (container === "gguf") {
    return matrices.map(({ matrix, shape, values, dtype }) => {
      const name = `blk.${layer}.ffn_${matrix}_exps.weight`;
      return { name, dtype, shape: [mlp.numExperts, ...shape], values, firstElement: 0 };
    });
  }
  return Array.from({ length: mlp.numExperts }, (_, expert) =>
    matrices.map(({ matrix, shape, values, dtype }) => {
      const name = hfExpertName(layer, expert, matrix);
      return { name, dtype, shape, values, firstElement: expert * numElements(shape) };
    }),
  ).flat();
}

/** `config.json` that says what `spec` says. */
function maiConfig(spec: ModelSpec): JsonObject {
  const attention = spec.layers[0]!.attention!;
  const dense = spec.layers.map(({ mlp }) => mlp).find((mlp) => mlp?.kind === "dense");
  const moe = spec.layers.map(({ mlp }) => mlp).find((mlp) => mlp?.kind === "moe");
  const local = spec.layers.map((layer) => layer.attention!).find(({ window }) => window !== null);
  return {
    architectures: ["MaiForCausalLM"],
    model_type: "mai",
    _name_or_path: spec.name,
    num_hidden_layers: spec.layers.length,
    hidden_size: spec.hiddenSize,
    vocab_size: spec.vocabSize,
    num_attention_heads: attention.numHeads,
    num_key_value_heads: attention.numKvHeads,
    head_dim: attention.headDim,
    intermediate_size: dense?.innerSize,
    moe_latent_size: moe?.latentSize,
    moe_intermediate_size: moe?.innerSize,
    num_experts: moe?.numExperts,
    num_experts_per_tok: moe?.topK,
    scoring_func: "softmax",
    norm_topk_prob: moe?.renormalize,
    routed_scaling_factor: moe?.routingScale,
    layer_types: spec.layers.map((layer) =>
      layer.attention!.window === null ? "full_attention" : "sliding_attention",
    ),
    mlp_layer_types: spec.layers.map(({ mlp }) => (mlp?.kind === "moe" ? "sparse" : "dense")),
    sliding_window: local?.window ?? undefined,
    rope_theta: local?.ropeTheta ?? 10_000,
    rms_norm_eps: spec.normEps,
    tie_word_embeddings: spec.tiedEmbeddings,
    hidden_act: "silu",
    max_position_embeddings: spec.contextLength,
    eos_token_id: [...spec.stopIds],
  };
}
