/** Prefill: down projections of experts over grouped tokens, not yet mixed. See shaders/expert-matmul-down.wgsl. */

import text from "../../shaders/expert-matmul-down.wgsl?raw";
import tile from "../../shaders/lib/tile.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type KernelHost, matrixBytes } from "./kernel.ts";
import { TILE } from "./matmul.ts";
import { type LayerSlabs, type SlotMatrix, slabBuffers, slotFragments, slotKey, slotParams } from "./slots.ts";

export interface ExpertMatmulDownSite {
  readonly layer: LayerSlabs;
  readonly down: SlotMatrix;
  /** [tokens * topK, actStride] */
  readonly act: LedgerBuffer;
  readonly actStride: number;
  readonly tiles: LedgerBuffer;
  readonly pairs: LedgerBuffer;
  /** [tokens * topK, zStride] */
  readonly z: LedgerBuffer;
  readonly zStride: number;
}

export function expertMatmulDown(host: KernelHost, site: ExpertMatmulDownSite): (numTiles: number) => Command {
  const { layer, down } = site;
  const bound = host.bind(
    `expert-matmul-down ${down.dtype} ${layer.slabs.length}${slotKey({ down })}`,
    text,
    [{ text: tile }, ...slotFragments(layer, { down })],
    {
      quads: down.quadsPerRow,
      rows: down.rows,
      act_quads: site.actStride / 4,
      z_stride: site.zStride,
      down_word: down.word,
      down_bias_word: down.biasWord ?? 0,
      ...slotParams(layer),
    },
    {
      act: { buffer: site.act },
      tiles: { buffer: site.tiles },
      pairs: { buffer: site.pairs },
      z: { buffer: site.z },
      ...slabBuffers(layer),
    },
  );
  return (numTiles) => dispatch(bound, [ceilDiv(down.rows, TILE), numTiles], numTiles * matrixBytes(down));
}
