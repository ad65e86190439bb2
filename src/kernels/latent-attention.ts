/** Attention over cached latents, of one token or many. See shaders/latent-attention.wgsl. */

import text from "../../shaders/latent-attention.wgsl?raw";
import attend from "../../shaders/lib/attend.wgsl?raw";
import sinkNone from "../../shaders/lib/sink-none.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import type { HeadVectors } from "./head-matrix.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";
import { type Latents, latentParams, latentRotation } from "./latents.ts";

export interface LatentAttentionSite {
  readonly latents: Latents;
  readonly numHeads: number;
  /** The parts of the heads' queries that turn; not turned yet. */
  readonly rotated: HeadVectors;
  /** [tokens, headsStride]: the heads' queries in the space of the latents [numHeads * rank], and then their outputs. */
  readonly heads: LedgerBuffer;
  readonly headsStride: number;
  /** Factor on scores. */
  readonly scale: number;
  readonly step: LedgerBuffer;
}

const MIN_WORKGROUP = 64;

export function latentAttention(host: KernelHost, site: LatentAttentionSite): (tokens: number) => Command {
  const { latents, rotated } = site;
  const rotation = latentRotation(latents);
  const params = latentParams(latents);
  const bound = host.bind(
    `latent-attention ${rotation.key}`,
    text,
    [REDUCE, rotation.fragment, { text: sinkNone }, { text: attend }],
    {
      ...params,
      q_at: rotated.at,
      head_dim: rotated.stride,
      q_stride: rotated.tokenStride,
      heads_stride: site.headsStride,
      scale: site.scale,
    },
    {
      step: { buffer: site.step },
      q: { buffer: rotated.buffer },
      latents: { buffer: latents.cache },
      heads: { buffer: site.heads },
      rope: { buffer: latents.rope },
    },
    { WG: workgroup(latents.rank), MAX_HEAD_DIM: params.key_quads * 4 },
  );
  return (tokens) => dispatch(bound, [site.numHeads, tokens]);
}

/** Threads enough for the quads of a value, a power of two. */
function workgroup(rank: number): number {
  return Math.max(MIN_WORKGROUP, 2 ** Math.ceil(Math.log2(rank / 4)));
}
