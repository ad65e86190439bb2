/** What the kernels that see query and key heads share: their norm and rotation, and the dimensions they need. */

import head from "../../shaders/lib/head.wgsl?raw";
import headNormNone from "../../shaders/lib/head-norm-none.wgsl?raw";
import headNormRms from "../../shaders/lib/head-norm-rms.wgsl?raw";
import outputGate from "../../shaders/lib/output-gate.wgsl?raw";
import outputGateNone from "../../shaders/lib/output-gate-none.wgsl?raw";
import ropeHalf from "../../shaders/lib/rope-half.wgsl?raw";
import ropeInterleaved from "../../shaders/lib/rope-interleaved.wgsl?raw";
import ropeNone from "../../shaders/lib/rope-none.wgsl?raw";
import sink from "../../shaders/lib/sink.wgsl?raw";
import sinkNone from "../../shaders/lib/sink-none.wgsl?raw";
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
  /** (cos, sin) of every token of the step [tokens, ropeDims / 2]; `undefined` for a layer without positions. */
  readonly rope: LedgerBuffer | undefined;
  readonly eps: number;
  /** Elements 2j and 2j + 1 turn together, not j and j + ropeDims / 2. */
  readonly interleaved?: boolean | undefined;
  /** Elements that turn, from the first; all when absent. */
  readonly ropeDims?: number | undefined;
  /** Factor on scores; 1 / sqrt(headDim) when absent. */
  readonly scale?: number | undefined;
  /** A score per head without key or value [numHeads]. */
  readonly sinks?: LedgerBuffer | undefined;
  /** Gates of the outputs [numHeads * headDim] follow queries, keys and values in their row. */
  readonly gated?: boolean | undefined;
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
  params: { rope_dims: number };
  buffers: Record<string, BufferRange>;
} {
  const { gains, rope, interleaved = false } = heads;
  const norm = gains
    ? { key: "norm", text: headNormRms, buffers: { q_gain: { buffer: gains.q }, k_gain: { buffer: gains.k } } }
    : { key: "plain", text: headNormNone, buffers: {} };
  const turn = rope
    ? { ...(interleaved ? INTERLEAVED : HALVES), buffers: { rope: { buffer: rope } } }
    : { key: "no-positions", text: ropeNone, buffers: {} };
  return {
    key: `${norm.key} ${turn.key}`,
    fragments: [REDUCE, { text: head }, { text: norm.text }, { text: turn.text }],
    params: { rope_dims: heads.ropeDims ?? heads.headDim },
    buffers: { ...norm.buffers, ...turn.buffers },
  };
}

const HALVES = { key: "rope", text: ropeHalf };
const INTERLEAVED = { key: "rope-interleaved", text: ropeInterleaved };

/** The fragments around the softmax and the output, their buffers, and a name for the choice: empty for neither. */
export function attendFragments({ sinks, gated = false }: Heads): {
  key: string;
  fragments: Fragment[];
  buffers: Record<string, BufferRange>;
} {
  return {
    key: `${sinks ? " sinks" : ""}${gated ? " gated" : ""}`,
    fragments: [{ text: sinks ? sink : sinkNone }, { text: gated ? outputGate : outputGateNone }],
    buffers: sinks ? { sinks: { buffer: sinks } } : {},
  };
}

/** Factor on the scores. */
export function attentionScale({ scale, headDim }: Heads): number {
  return scale ?? 1 / Math.sqrt(headDim);
}
