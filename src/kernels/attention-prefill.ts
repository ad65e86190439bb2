/** Prefill: attention of many tokens over the cache. See shaders/attention-prefill.wgsl. */

import text from "../../shaders/attention-prefill.wgsl?raw";
import attend from "../../shaders/lib/attend.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { attendFragments, attentionScale, type Heads, headParams, type KvBuffers } from "./heads.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";

export interface AttentionPrefillSite {
  readonly heads: Heads;
  readonly window: number | null;
  readonly kv: KvBuffers;
  /** [tokens, qkvStride], as `kvWrite` leaves it. */
  readonly qkv: LedgerBuffer;
  readonly qkvStride: number;
  /** [tokens, outStride] */
  readonly out: LedgerBuffer;
  readonly outStride: number;
  readonly step: LedgerBuffer;
}

export function attentionPrefill(host: KernelHost, site: AttentionPrefillSite): (tokens: number) => Command {
  const { heads, kv } = site;
  const around = attendFragments(heads);
  const bound = host.bind(
    `attention-prefill${around.key}`,
    text,
    [REDUCE, ...around.fragments, { text: attend }],
    {
      ...headParams(heads),
      qkv_stride: site.qkvStride,
      out_stride: site.outStride,
      window: site.window ?? 0,
      capacity: kv.capacity,
      scale: attentionScale(heads),
    },
    {
      step: { buffer: site.step },
      qkv: { buffer: site.qkv },
      k_cache: { buffer: kv.k },
      v_cache: { buffer: kv.v },
      out: { buffer: site.out },
      ...around.buffers,
    },
  );
  return (tokens) => dispatch(bound, [heads.numHeads, tokens]);
}
