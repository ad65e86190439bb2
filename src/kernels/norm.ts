/** Residual add and input norm of the next block. See shaders/norm.wgsl. */

import residualAdd from "../../shaders/lib/residual-add.wgsl?raw";
import residualNone from "../../shaders/lib/residual-none.wgsl?raw";
import residualNorm from "../../shaders/lib/residual-norm.wgsl?raw";
import residualScaled from "../../shaders/lib/residual-scaled.wgsl?raw";
import text from "../../shaders/norm.wgsl?raw";
import { UnsupportedError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import type { Fragment } from "../gpu/wgsl.ts";
import { ceilDiv } from "../util/math.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";

export interface NormSite {
  readonly cols: number;
  readonly eps: number;
  readonly inputGain: LedgerBuffer;
  readonly xIn: BufferRange;
  readonly xOut: BufferRange;
  readonly h: BufferRange;
  readonly residual?: Residual | undefined;
}

/** A block output to add, with the gains of its own norm or a factor where the model has one of them. */
export interface Residual {
  readonly y: LedgerBuffer;
  readonly outputGain: LedgerBuffer | undefined;
  readonly scale?: number | undefined;
}

/** Rows of `xIn` plus the residual to `xOut`, and their norm to `h`. */
export function norm(host: KernelHost, site: NormSite): (tokens: number) => Command {
  const { key, fragment, buffers } = residualOf(site.residual);
  const bound = host.bind(
    `norm ${key}`,
    text,
    [REDUCE, fragment],
    { cols: site.cols, quads: ceilDiv(site.cols, 4), eps: site.eps, residual_scale: site.residual?.scale ?? 1 },
    { x_in: site.xIn, x_out: site.xOut, h: site.h, input_gain: { buffer: site.inputGain }, ...buffers },
  );
  return (tokens) => dispatch(bound, [tokens, 1]);
}

function residualOf(residual: NormSite["residual"]): {
  key: string;
  fragment: Fragment;
  buffers: Record<string, BufferRange>;
} {
  if (!residual) return { key: "none", fragment: { text: residualNone }, buffers: {} };
  const y = { buffer: residual.y };
  if (residual.scale !== undefined) {
    if (residual.outputGain) throw new UnsupportedError("A block output with both a norm and a factor.");
    return { key: "scaled", fragment: { text: residualScaled }, buffers: { y } };
  }
  if (!residual.outputGain) return { key: "add", fragment: { text: residualAdd }, buffers: { y } };
  const buffers = { y, output_gain: { buffer: residual.outputGain } };
  return { key: "norm", fragment: { text: residualNorm }, buffers };
}
