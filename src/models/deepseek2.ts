/**
 * DeepSeek-V2 and V3, and what has their layout: keys and values from latents, the first layers dense, experts chosen
 * within the best of their groups, shared experts beside them as one. V2 scores by softmax and groups by their best
 * expert; V3 by sigmoid with a bias that only choosing sees, and groups by their best two. Layers that draft further
 * tokens are left out.
 */
import { FormatError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_EXPERT_GROUPS, MAX_EXPERTS, MAX_LAYERS } from "./bounds.ts";
import { type Frame, flagOr, intOr, readDense, readFrame, readMoe, withLayers } from "./common.ts";
import { readLatentAttention } from "./deepseek2-attention.ts";
import type { ModelDescription, ModelFamily, TensorNames } from "./family.ts";
import { ggufTensorNames, hfTensorNames, strict } from "./names.ts";
import type { ExpertGroups, LatentSpec, MoeSpec } from "./spec.ts";

export const deepseek2: ModelFamily = {
  architecture: "deepseek2",
  hfArchitectures: ["DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"],
  describe,
};

const KEYS = { numExperts: "n_routed_experts", innerSize: "moe_intermediate_size" };

function describe(checkpoint: Checkpoint): ModelDescription {
  const frame = readFrame(checkpoint, deepseek2.architecture);
  const attention = readLatentAttention(checkpoint, frame);
  const isSparse = sparseLayers(frame);
  const layers = Array.from({ length: frame.numLayers }, (_, layer) => isSparse(layer));
  const firstSparse = layers.indexOf(true);
  const moe = firstSparse < 0 ? undefined : readExperts(checkpoint, frame, firstSparse);
  const spec = withLayers(frame, (layer) => ({
    attention,
    mlp: moe && layers[layer] ? moe : readDense(frame),
    outputNorms: false,
  }));
  return { spec, names: namesOf(frame, attention.latent, spec.tiedEmbeddings) };
}

/** The layers from the first `lead` on, or every so many of them, if there are experts at all. */
function sparseLayers({ isGguf, fields, key }: Frame): (layer: number) => boolean {
  const lead = intOr(fields, isGguf ? key("leading_dense_block_count") : "first_k_dense_replace", MAX_LAYERS, 0, 0);
  const every = isGguf ? 1 : intOr(fields, "moe_layer_freq", MAX_LAYERS, 1);
  const numExperts = intOr(fields, isGguf ? key("expert_count") : KEYS.numExperts, MAX_EXPERTS, 0, 0);
  return (layer) => numExperts > 0 && layer >= lead && layer % every === 0;
}

function readExperts(checkpoint: Checkpoint, frame: Frame, firstSparse: number): MoeSpec {
  const { isGguf, fields, key } = frame;
  const moe = readMoe(frame, KEYS, false, true);
  const numShared = intOr(fields, isGguf ? key("expert_shared_count") : "n_shared_experts", MAX_EXPERTS, 0, 0);
  const choosing = isGguf ? ggufChoosing(checkpoint, frame, moe, firstSparse) : hfChoosing(checkpoint, frame, moe);
  return {
    ...moe,
    ...choosing,
    shared: numShared > 0 ? { innerSize: numShared * moe.innerSize, gated: false } : undefined,
  };
}

type Choosing = Pick<MoeSpec, "scoring" | "selectionBias" | "groups"> & Partial<MoeSpec>;

/** Old files do not say how experts are scored: by sigmoid if there is a bias for choosing. */
function ggufChoosing(checkpoint: Checkpoint, { fields, key }: Frame, moe: MoeSpec, firstSparse: number): Choosing {
  const selectionBias = checkpoint.tensors.has(GGUF_NAMES.layer(firstSparse, "selectionBias"));
  const isSaid = fields.has(key("expert_gating_func"));
  const scoring = moe.scoring ?? (selectionBias && !isSaid ? "sigmoid" : "softmax");
  const worth = scoring === "softmax" && !selectionBias ? "best" : "best two";
  const groups = readGroups(
    "GGUF metadata",
    fields,
    key("expert_group_count"),
    key("expert_group_used_count"),
    moe,
    worth,
  );
  return { scoring, selectionBias, groups };
}

/** What `topk_method` says; without it V3's way for its class, and for V2's the best of all. */
function hfChoosing({ config }: Checkpoint, { fields }: Frame, moe: MoeSpec): Choosing {
  const isV3 = Array.isArray(config.architectures) && config.architectures.includes("DeepseekV3ForCausalLM");
  fields.only("topk_method", "greedy", "group_limited_greedy", "noaux_tc");
  fields.only("scoring_func", "softmax", "sigmoid");
  const method = fields.has("topk_method") ? fields.text("topk_method") : isV3 ? "noaux_tc" : "greedy";
  const scoring = (fields.has("scoring_func") ? fields.text("scoring_func") === "sigmoid" : isV3)
    ? "sigmoid"
    : "softmax";
  const selectionBias = method === "noaux_tc";
  const worth = selectionBias ? "best two" : "best";
  const groups =
    method === "greedy" ? undefined : readGroups("config.json", fields, "n_group", "topk_group", moe, worth);
  // One expert keeps its score; and V2 scales weights or makes their sum 1, not both.
  const renormalize = (isV3 ? flagOr(fields, "norm_topk_prob", true) : moe.renormalize) && moe.topK > 1;
  const routingScale = renormalize && !isV3 ? 1 : moe.routingScale;
  return { scoring, selectionBias, groups, renormalize, routingScale };
}

/** `undefined` where there is one group. @throws FormatError for groups that are not equal or cannot hold the top k. */
function readGroups(
  where: string,
  fields: Frame["fields"],
  countKey: string,
  usedKey: string,
  { numExperts, topK }: MoeSpec,
  worth: ExpertGroups["worth"],
): ExpertGroups | undefined {
  const count = intOr(fields, countKey, MAX_EXPERT_GROUPS, 1, 0);
  if (count <= 1) return undefined;
  const used = fields.int(usedKey, { max: count });
  const size = numExperts / count;
  if (Number.isInteger(size) && used * size >= topK && (worth === "best" || size > 1)) {
    return used === count ? undefined : { count, used, worth };
  }
  throw new FormatError(
    `${where}: expected "${countKey}" and "${usedKey}" to make equal groups whose open ones hold the top ${topK} of ` +
      `${numExperts} experts${worth === "best" ? "" : ", two or more experts each"}, got ${count} and ${used}`,
  );
}

const GGUF_NAMES = ggufTensorNames();

function namesOf({ isGguf, numLayers }: Frame, latent: LatentSpec | undefined, tiedEmbeddings: boolean): TensorNames {
  const isCompressed = latent?.queryRank !== undefined;
  const names = isGguf
    ? ggufTensorNames(isCompressed ? { q: "attn_q_b.weight" } : {})
    : hfTensorNames({ ...HF_LAYER, ...(isCompressed ? { q: "self_attn.q_b_proj.weight" } : {}) });
  const known = strict(names, numLayers, tiedEmbeddings);
  // Some files have both forms of the same numbers.
  const isUnsplit = (name: string) => latent?.split === true && name.endsWith(".attn_kv_b.weight");
  return { ...known, ignores: (name) => isUnsplit(name) || known.ignores?.(name) === true };
}

const HF_LAYER = {
  qDown: "self_attn.q_a_proj.weight",
  qDownNorm: "self_attn.q_a_layernorm.weight",
  kvDown: "self_attn.kv_a_proj_with_mqa.weight",
  kvDownNorm: "self_attn.kv_a_layernorm.weight",
  kvUp: "self_attn.kv_b_proj.weight",
  selectionBias: "mlp.gate.e_score_correction_bias",
  sharedGate: "mlp.shared_experts.gate_proj.weight",
  sharedUp: "mlp.shared_experts.up_proj.weight",
  sharedDown: "mlp.shared_experts.down_proj.weight",
};
