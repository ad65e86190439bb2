/** Attention of DeepSeek-V2 and V3 as the two containers describe it: dimensions of heads and latents, and the stretch. */
import { FormatError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { MAX_HEAD_DIM, MAX_HEADS, MAX_LATENT, MAX_WIDTH } from "./bounds.ts";
import { type Frame, flagOr, ggufYarn, hfRope, intOr, positiveOr } from "./common.ts";
import type { AttentionSpec, YarnSpec } from "./spec.ts";

/** @throws FormatError, UnsupportedError. */
export function readLatentAttention(checkpoint: Checkpoint, frame: Frame): AttentionSpec {
  return frame.isGguf ? fromGguf(checkpoint, frame) : fromHf(checkpoint, frame);
}

/**
 * Newer files give the dimensions of heads as `_mla`, those of the latents as the plain ones, and store the keys' and the
 * values' part apart; older ones know only heads, and store both parts together.
 */
function fromGguf(checkpoint: Checkpoint, { fields, key }: Frame): AttentionSpec {
  fields.only(key("attention.temperature_scale"), 0);
  const own = (name: string) => (fields.has(key(`${name}_mla`)) ? key(`${name}_mla`) : key(name));
  const headDim = fields.int(own("attention.key_length"), { max: MAX_HEAD_DIM });
  const ropeDims = fields.int(key("rope.dimension_count"), { max: MAX_HEAD_DIM });
  checkDims("GGUF metadata", headDim, ropeDims);
  fields.only(key("rope.scaling.type"), "none", "yarn");
  const yarn = ggufYarn(fields, key);
  // The file's multiplier is a tenth of mscale_all_dim; mscale, which it leaves out, is the same in the published models.
  const multiplier = key("rope.scaling.yarn_log_multiplier");
  const all = fields.has(multiplier) ? fields.notNegative(multiplier) * 10 : 0;
  return {
    ...stretched(headDim, yarn, all === 0 ? 1 : all, all),
    numHeads: fields.int(key("attention.head_count"), { max: MAX_HEADS }),
    ropeDims,
    ropeTheta: positiveOr(fields, key("rope.freq_base"), 10_000),
    ropePairing: "interleaved",
    latent: {
      rank: fields.int(key("attention.kv_lora_rank"), { max: MAX_LATENT }),
      valueDim: fields.int(own("attention.value_length"), { max: MAX_HEAD_DIM }),
      queryRank: intOr(fields, key("attention.q_lora_rank"), MAX_WIDTH, 0, 0) || undefined,
      split: checkpoint.tensors.has("blk.0.attn_k_b.weight") || undefined,
    },
  };
}

function fromHf({ config }: Checkpoint, { fields }: Frame): AttentionSpec {
  fields.only("attention_bias", false);
  const ropeDims = fields.int("qk_rope_head_dim", { max: MAX_HEAD_DIM });
  const headDim = fields.int("qk_nope_head_dim", { max: MAX_HEAD_DIM }) + ropeDims;
  checkDims("config.json", headDim, ropeDims);
  const { ropeTheta, yarn, scaling } = hfRope(config, fields);
  for (const kind of ["rope_type", "type"]) scaling.only(kind, "default", "yarn");
  const factor = (key: string, otherwise: number) => (scaling.has(key) ? scaling.notNegative(key) : otherwise);
  return {
    ...stretched(headDim, yarn, factor("mscale", 1), factor("mscale_all_dim", 0)),
    numHeads: fields.int("num_attention_heads", { max: MAX_HEADS }),
    ropeDims,
    ropeTheta,
    ropePairing: flagOr(fields, "rope_interleave", true) ? "interleaved" : "half",
    latent: {
      rank: fields.int("kv_lora_rank", { max: MAX_LATENT }),
      valueDim: fields.int("v_head_dim", { max: MAX_HEAD_DIM }),
      queryRank: fields.has("q_lora_rank") ? fields.int("q_lora_rank", { max: MAX_WIDTH }) : undefined,
    },
  };
}

function checkDims(where: string, headDim: number, ropeDims: number): void {
  if (ropeDims % 2 === 0 && ropeDims < headDim) return;
  throw new FormatError(
    `${where}: expected heads of more elements than turn, and an even number that turn, got ${headDim} and ${ropeDims}`,
  );
}

/**
 * With a stretch, sines and cosines grow by mscale(s, m) / mscale(s, all), and scores by mscale(s, all) squared, where
 * mscale(s, m) = 1 + 0.1 m ln s: as in the models' own code.
 */
function stretched(
  headDim: number,
  yarn: YarnSpec | undefined,
  mscale: number,
  mscaleAll: number,
): Omit<AttentionSpec, "numHeads" | "ropeTheta"> {
  const shape = { headDim, numKvHeads: 1, window: null, qkNorm: false };
  if (!yarn) return shape;
  const grown = (by: number) => 1 + 0.1 * by * Math.log(Math.max(1, yarn.factor));
  const scale = grown(mscaleAll) ** 2 / Math.sqrt(headDim);
  return { ...shape, yarn: { ...yarn, size: grown(mscale) / grown(mscaleAll) }, scale };
}
