/** What the kernels that see query and key heads share: their norm and rotation, and the dimensions they need. */

import head from "../../shaders/lib/head.wgsl?raw";
import headNormNone from "../../shaders/lib/head-norm-none.wgsl?raw";
import headNormRms from "../../shaders/lib/head-norm-rms.wgsl?raw";
import ropeHalf from "../../shaders/lib/rope-half.wgsl?raw";
import ropeNone from "../../shaders/lib/rope-none.wgsl?raw";
import { UnsupportedError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Fragment } from "../gpu/wgsl.ts";
import { ceilDiv } from "../util/math.ts";
import { REDUCE } from "./kernel.ts";

export interface Heads {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Gains of the query and key norms; `undefined` where the model has none. */
  readonly gains: { readonly q: LedgerBuffer; readonly k: LedgerBuffer } | undefined;
  /** (cos, sin) of every token of the step [tokens, headDim / 2]; `undefined` for a layer without positions. */
  readonly rope: LedgerBuffer | undefined;
  readonly eps: number;
}

/** The keys and values of one layer: [capacity, numKvHeads, headQuads] quads each; position p in row p % capacity. */
export interface KvBuffers {
  readonly k: LedgerBuffer;
  readonly v: LedgerBuffer;
  readonly capacity: number;
}

/** Largest head that the kernels stage in workgroup memory, in elements. */
export const MAX_HEAD_DIM = 256;

/** Params that every such kernel has. @throws UnsupportedError for heads that are odd or too wide. */
export function headParams(heads: Heads): {
  num_heads: number;
  num_kv_heads: number;
  head_dim: number;
  head_quads: number;
} {
  const { numHeads, numKvHeads, headDim } = heads;
  if (headDim % 2 !== 0 || headDim > MAX_HEAD_DIM) {
    throw new UnsupportedError(`Heads of ${headDim} elements: an even number up to ${MAX_HEAD_DIM} is supported.`);
  }
  return { num_heads: numHeads, num_kv_heads: numKvHeads, head_dim: headDim, head_quads: ceilDiv(headDim, 4) };
}

/** The fragments that norm and rotate a head, their buffers, and a name for the choice. */
export function headFragments(heads: Heads): {
  key: string;
  fragments: Fragment[];
  buffers: Record<string, BufferRange>;
} {
  const { gains, rope } = heads;
  const norm = gains
    ? { key: "norm", text: headNormRms, buffers: { q_gain: { buffer: gains.q }, k_gain: { buffer: gains.k } } }
    : { key: "plain", text: headNormNone, buffers: {} };
  const turn = rope
    ? { key: "rope", text: ropeHalf, buffers: { rope: { buffer: rope } } }
    : { key: "no-positions", text: ropeNone, buffers: {} };
  return {
    key: `${norm.key} ${turn.key}`,
    fragments: [REDUCE, { text: head }, { text: norm.text }, { text: turn.text }],
    buffers: { ...norm.buffers, ...turn.buffers },
  };
}
