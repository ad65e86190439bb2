/** RMSNorm of all queries and of all keys of a token, in place. See shaders/wide-norm.wgsl. */

import text from "../../shaders/wide-norm.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";

export interface WideNormSite {
  /** Floats of a token's queries, and of its keys behind them. */
  readonly qCols: number;
  readonly kCols: number;
  readonly qGain: LedgerBuffer;
  readonly kGain: LedgerBuffer;
  /** [tokens, stride] */
  readonly qkv: LedgerBuffer;
  readonly stride: number;
  readonly eps: number;
}

export function wideNorm(host: KernelHost, site: WideNormSite): (tokens: number) => Command {
  const bound = host.bind(
    "wide-norm",
    text,
    [REDUCE],
    { q_cols: site.qCols, k_cols: site.kCols, stride: site.stride, eps: site.eps },
    { qkv: { buffer: site.qkv }, q_gain: { buffer: site.qGain }, k_gain: { buffer: site.kGain } },
  );
  return (tokens) => dispatch(bound, [2, tokens]);
}
