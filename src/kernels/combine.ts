/** Prefill: routing-weighted sum of expert outputs in rank order. See shaders/combine.wgsl. */

import text from "../../shaders/combine.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import type { KernelHost } from "./kernel.ts";

/** `z` [tokens * topK, quads] and `routing` [tokens, 3, topK] to `out` [tokens, quads]. */
export function combine(
  host: KernelHost,
  quads: number,
  topK: number,
  z: LedgerBuffer,
  routing: LedgerBuffer,
  out: LedgerBuffer,
): (tokens: number) => Command {
  const bound = host.bind(
    "combine",
    text,
    [],
    { quads, top_k: topK },
    { z: { buffer: z }, routing: { buffer: routing }, out: { buffer: out } },
  );
  return (tokens) => dispatch(bound, [ceilDiv(quads, 64), tokens]);
}
