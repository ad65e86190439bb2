/** Prefill: norm and rotation of heads, keys and values to the cache. See shaders/kv-write.wgsl. */

import text from "../../shaders/kv-write.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { type Heads, headFragments, headParams, type KvBuffers } from "./heads.ts";
import type { KernelHost } from "./kernel.ts";

export interface KvWriteSite {
  readonly heads: Heads;
  readonly kv: KvBuffers;
  /** [tokens, qkvStride]; queries are normed and rotated in place. */
  readonly qkv: LedgerBuffer;
  readonly qkvStride: number;
  readonly step: LedgerBuffer;
}

export function kvWrite(host: KernelHost, site: KvWriteSite): (tokens: number) => Command {
  const { heads, kv } = site;
  const { key, fragments, params, buffers } = headFragments(heads);
  const bound = host.bind(
    `kv-write ${key}`,
    text,
    fragments,
    { ...headParams(heads), qkv_stride: site.qkvStride, capacity: kv.capacity, eps: heads.eps, ...params },
    {
      step: { buffer: site.step },
      qkv: { buffer: site.qkv },
      k_cache: { buffer: kv.k },
      v_cache: { buffer: kv.v },
      ...buffers,
    },
  );
  return (tokens) => dispatch(bound, [heads.numHeads + 2 * heads.numKvHeads, tokens]);
}
