/** Prefill, dense MLP: the activation. See shaders/swiglu.wgsl. */

import activation from "../../shaders/lib/act-swiglu.wgsl?raw";
import text from "../../shaders/swiglu.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import type { KernelHost } from "./kernel.ts";

/** `gateUp` [tokens, 2 * stride] to `act` [tokens, stride]; `inner` columns of each are used. */
export function swiglu(
  host: KernelHost,
  inner: number,
  stride: number,
  gateUp: LedgerBuffer,
  act: LedgerBuffer,
): (tokens: number) => Command {
  const bound = host.bind(
    "swiglu",
    text,
    [{ text: activation }],
    { inner, stride },
    { gate_up: { buffer: gateUp }, act: { buffer: act } },
  );
  return (tokens) => dispatch(bound, [ceilDiv(inner, 64), tokens]);
}
