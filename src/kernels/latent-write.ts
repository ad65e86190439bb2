/** Norm and rotation of latents on their way into the cache, and norm of compressed queries. See shaders/latent-write.wgsl. */

import text from "../../shaders/latent-write.wgsl?raw";
import queryNorm from "../../shaders/lib/query-norm.wgsl?raw";
import queryNormNone from "../../shaders/lib/query-norm-none.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";
import { type Latents, latentParams, latentRotation } from "./latents.ts";

export interface LatentWriteSite {
  readonly latents: Latents;
  /** [tokens, stride]: latent and shared part of the keys from float `latentAt` of each row. */
  readonly row: LedgerBuffer;
  readonly stride: number;
  readonly latentAt: number;
  /** Gains of the latents' norm [rank]. */
  readonly gain: LedgerBuffer;
  /** A compressed query from float 0 of each row, normed in place, with its gains [cols]. */
  readonly query: { readonly cols: number; readonly gain: LedgerBuffer } | undefined;
  readonly eps: number;
  readonly step: LedgerBuffer;
}

export function latentWrite(host: KernelHost, site: LatentWriteSite): (tokens: number) => Command {
  const { latents, query } = site;
  const rotation = latentRotation(latents);
  const bound = host.bind(
    `latent-write ${rotation.key}${query ? " query" : ""}`,
    text,
    [REDUCE, rotation.fragment, { text: query ? queryNorm : queryNormNone }],
    {
      ...latentParams(latents),
      latent_at: site.latentAt,
      stride: site.stride,
      query_cols: query?.cols ?? 0,
      eps: site.eps,
    },
    {
      step: { buffer: site.step },
      row: { buffer: site.row },
      latents: { buffer: latents.cache },
      latent_gain: { buffer: site.gain },
      rope: { buffer: latents.rope },
      ...(query ? { query_gain: { buffer: query.gain } } : {}),
    },
  );
  return (tokens) => dispatch(bound, [query ? 2 : 1, tokens]);
}
