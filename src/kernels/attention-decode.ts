/** Decode: attention of one token, cache write included. See shaders/attention-decode.wgsl. */

import text from "../../shaders/attention-decode.wgsl?raw";
import attend from "../../shaders/lib/attend.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { attendFragments, attentionScale, type Heads, headFragments, headParams, type KvBuffers } from "./heads.ts";
import type { KernelHost } from "./kernel.ts";

export interface AttentionDecodeSite {
  readonly heads: Heads;
  /** Visible keys, the token's own included; `null` = all. */
  readonly window: number | null;
  readonly kv: KvBuffers;
  /** [(numHeads + 2 numKvHeads) * headDim] */
  readonly qkv: LedgerBuffer;
  /** [numHeads * headDim] */
  readonly out: LedgerBuffer;
  readonly step: LedgerBuffer;
}

export function attentionDecode(host: KernelHost, site: AttentionDecodeSite): Command {
  const { heads, kv } = site;
  const { key, fragments, params, buffers } = headFragments(heads);
  const around = attendFragments(heads);
  const bound = host.bind(
    `attention-decode ${key}${around.key}`,
    text,
    [...fragments, ...around.fragments, { text: attend }],
    {
      ...headParams(heads),
      window: site.window ?? 0,
      capacity: kv.capacity,
      eps: heads.eps,
      scale: attentionScale(heads),
      ...params,
    },
    {
      step: { buffer: site.step },
      qkv: { buffer: site.qkv },
      k_cache: { buffer: kv.k },
      v_cache: { buffer: kv.v },
      out: { buffer: site.out },
      ...buffers,
      ...around.buffers,
    },
  );
  return dispatch(bound, [heads.numHeads, 1]);
}
