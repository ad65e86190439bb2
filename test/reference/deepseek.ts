/**
 * Reference of a whole DeepSeek-V2 or V3, written from the models' own code: `config.json` and tensors by their Hugging
 * Face names in, logits out, everything in float64. Keys and values are made of the latents, experts are run one by one.
 */
import { selectInGroups } from "./group-router.ts";
import { latentAttention } from "./latent-attention.ts";
import { matmul } from "./matmul.ts";
import { rmsNorm } from "./norm.ts";

/** Fields of `config.json`. */
export interface DeepseekConfig {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly qk_nope_head_dim: number;
  readonly qk_rope_head_dim: number;
  readonly v_head_dim: number;
  readonly kv_lora_rank: number;
  readonly q_lora_rank: number | null;
  readonly first_k_dense_replace: number;
  readonly n_routed_experts: number;
  readonly num_experts_per_tok: number;
  readonly n_shared_experts: number | null;
  readonly n_group: number;
  readonly topk_group: number;
  readonly topk_method: "greedy" | "group_limited_greedy" | "noaux_tc";
  readonly scoring_func: "softmax" | "sigmoid";
  readonly norm_topk_prob: boolean;
  readonly routed_scaling_factor: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly rope_scaling: YarnConfig | null;
}

export interface YarnConfig {
  readonly type: "yarn";
  readonly factor: number;
  readonly original_max_position_embeddings: number;
  readonly beta_fast: number;
  readonly beta_slow: number;
  readonly mscale: number;
  readonly mscale_all_dim: number;
}

/** A tensor's numbers by name, row-major. */
export type Weights = (name: string) => ArrayLike<number>;

/** Logits after the last of `tokens`, [vocab]. */
export function deepseekLogits(config: DeepseekConfig, weights: Weights, tokens: readonly number[]): Float64Array {
  const { hidden_size: width, rms_norm_eps: eps } = config;
  const embedding = weights("model.embed_tokens.weight");
  let x = Float64Array.from({ length: tokens.length * width }, (_, i) => {
    return embedding[tokens[Math.floor(i / width)]! * width + (i % width)]!;
  });
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const own: Weights = (name) => weights(`model.layers.${layer}.${name}`);
    x = plus(x, attend(config, own, rmsNorm(x, own("input_layernorm.weight"), eps)));
    const h = rmsNorm(x, own("post_attention_layernorm.weight"), eps);
    x = plus(x, layer < config.first_k_dense_replace ? mlp(own, "mlp", h, width) : experts(config, own, h));
  }
  const last = rmsNorm(x.slice(-width), weights("model.norm.weight"), eps);
  return matmul(last, weights("lm_head.weight"), width);
}

function attend(config: DeepseekConfig, own: Weights, h: Float64Array): Float64Array {
  const { hidden_size: width, rms_norm_eps: eps, rope_scaling: yarn } = config;
  const project = (name: string, x: Float64Array, cols: number) => matmul(x, own(`self_attn.${name}.weight`), cols);
  const compressed = config.q_lora_rank;
  const q =
    compressed === null
      ? project("q_proj", h, width)
      : project(
          "q_b_proj",
          rmsNorm(project("q_a_proj", h, width), own("self_attn.q_a_layernorm.weight"), eps),
          compressed,
        );
  const headDim = config.qk_nope_head_dim + config.qk_rope_head_dim;
  const { out } = latentAttention({
    numHeads: config.num_attention_heads,
    plainDim: config.qk_nope_head_dim,
    ropeDims: config.qk_rope_head_dim,
    valueDim: config.v_head_dim,
    rank: config.kv_lora_rank,
    q,
    rows: project("kv_a_proj_with_mqa", h, width),
    gain: own("self_attn.kv_a_layernorm.weight"),
    eps,
    kvUp: own("self_attn.kv_b_proj.weight"),
    angles: (position) => frequencies(config).map((frequency) => position * frequency),
    isInterleaved: true,
    size: yarn ? mscale(yarn.factor, yarn.mscale) / mscale(yarn.factor, yarn.mscale_all_dim) : 1,
    scale: (yarn ? mscale(yarn.factor, yarn.mscale_all_dim) ** 2 : 1) / Math.sqrt(headDim),
  });
  return project("o_proj", out, config.num_attention_heads * config.v_head_dim);
}

function mscale(factor: number, by: number): number {
  return factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1;
}

/** Angle of every pair per position. */
function frequencies({ qk_rope_head_dim: dims, rope_theta: base, rope_scaling: yarn }: DeepseekConfig): number[] {
  const plain = Array.from({ length: dims / 2 }, (_, j) => 1 / base ** ((2 * j) / dims));
  if (!yarn) return plain;
  const context = yarn.original_max_position_embeddings;
  const dimOf = (rotations: number) => (dims * Math.log(context / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const low = Math.max(Math.floor(dimOf(yarn.beta_fast)), 0);
  const high = Math.min(Math.ceil(dimOf(yarn.beta_slow)), dims - 1);
  return plain.map((frequency, j) => {
    const ramp = Math.min(1, Math.max(0, (j - low) / (high === low ? 0.001 : high - low)));
    return (frequency / yarn.factor) * ramp + frequency * (1 - ramp);
  });
}

function experts(config: DeepseekConfig, own: Weights, h: Float64Array): Float64Array {
  const { hidden_size: width, n_routed_experts: numExperts, num_experts_per_tok: topK } = config;
  const isGrouped = config.topk_method !== "greedy";
  const isV3 = config.topk_method === "noaux_tc";
  const { expertIds, routingWeights } = selectInGroups({
    logits: matmul(h, own("mlp.gate.weight"), width),
    numExperts,
    topK,
    scoring: config.scoring_func,
    bias: isV3 ? own("mlp.gate.e_score_correction_bias") : null,
    numGroups: isGrouped ? config.n_group : 1,
    groupsUsed: isGrouped ? config.topk_group : 1,
    bestOf: isV3 ? 2 : 1,
    renormalize: config.norm_topk_prob,
    scale: config.routed_scaling_factor,
  });
  const out = config.n_shared_experts ? mlp(own, "mlp.shared_experts", h, width) : new Float64Array(h.length);
  expertIds.forEach((expert, i) => {
    const at = Math.floor(i / topK) * width;
    const y = mlp(own, `mlp.experts.${expert}`, h.slice(at, at + width), width);
    for (let c = 0; c < width; c++) out[at + c]! += routingWeights[i]! * y[c]!;
  });
  return out;
}

function mlp(own: Weights, folder: string, h: Float64Array, width: number): Float64Array {
  const gate = matmul(h, own(`${folder}.gate_proj.weight`), width);
  const up = matmul(h, own(`${folder}.up_proj.weight`), width);
  const act = gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]!);
  return matmul(act, own(`${folder}.down_proj.weight`), (act.length / h.length) * width);
}

function plus(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(a, (value, i) => value + b[i]!);
}
