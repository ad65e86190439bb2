/** Decode: down projections of the chosen experts and their combine in rank order. See shaders/expert-down.wgsl. */

import text from "../../shaders/expert-down.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { folded, type KernelHost, matrixBytes } from "./kernel.ts";
import { type LayerSlabs, type SlotMatrix, slabBuffers, slotFragments, slotKey, slotParams } from "./slots.ts";

export interface ExpertDownSite {
  readonly layer: LayerSlabs;
  readonly down: SlotMatrix;
  readonly topK: number;
  readonly routing: LedgerBuffer;
  readonly routingAt: number;
  /** [topK, actStride] */
  readonly act: LedgerBuffer;
  readonly actStride: number;
  /** [down.rows] */
  readonly out: LedgerBuffer;
}

export function expertDown(host: KernelHost, site: ExpertDownSite): Command {
  const { layer, down } = site;
  const { tuning } = host;
  const bound = host.bind(
    `expert-down ${down.dtype} ${layer.slabs.length}${slotKey({ down })}`,
    text,
    slotFragments(layer, { down }),
    {
      quads: down.quadsPerRow,
      rows: down.rows,
      act_quads: site.actStride / 4,
      top_k: site.topK,
      routing_at: site.routingAt,
      down_word: down.word,
      down_bias_word: down.biasWord ?? 0,
      ...slotParams(layer),
    },
    { act: { buffer: site.act }, routing: { buffer: site.routing }, out: { buffer: site.out }, ...slabBuffers(layer) },
    { ROWS: tuning.rows, LANES: tuning.lanes },
  );
  return dispatch(bound, folded(ceilDiv(down.rows, tuning.rows)), site.topK * matrixBytes(down));
}
