/** Prefill: gate, up and activation of experts over grouped tokens. See shaders/expert-matmul-gate-up.wgsl. */

import text from "../../shaders/expert-matmul-gate-up.wgsl?raw";
import tile from "../../shaders/lib/tile.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type Activation, activationFragment } from "./activation.ts";
import { type KernelHost, matrixBytes } from "./kernel.ts";
import { TILE } from "./matmul.ts";
import { type LayerSlabs, type SlotMatrix, slabBuffers, slotFragments, slotKey, slotParams } from "./slots.ts";

export interface ExpertMatmulGateUpSite {
  readonly layer: LayerSlabs;
  readonly gate: SlotMatrix;
  readonly up: SlotMatrix;
  readonly topK: number;
  /** [tokens, xStride] quads, from quad `xAt` of each row. */
  readonly x: LedgerBuffer;
  readonly xAt: number;
  readonly xStride: number;
  /** (slot, first, count, 0) per tile, and pair numbers (token * topK + rank) expert by expert. */
  readonly tiles: LedgerBuffer;
  readonly pairs: LedgerBuffer;
  /** [tokens * topK, actStride] */
  readonly act: LedgerBuffer;
  readonly actStride: number;
  readonly activation?: Activation | undefined;
}

export function expertMatmulGateUp(host: KernelHost, site: ExpertMatmulGateUpSite): (numTiles: number) => Command {
  const { layer, gate, up } = site;
  const activation = activationFragment(site.activation);
  const bound = host.bind(
    `expert-matmul-gate-up ${gate.dtype} ${up.dtype} ${layer.slabs.length}${slotKey({ gate, up })}${activation.key}`,
    text,
    [{ text: tile }, activation.fragment, ...slotFragments(layer, { gate, up })],
    {
      quads: gate.quadsPerRow,
      rows: gate.rows,
      top_k: site.topK,
      x_at: site.xAt,
      x_stride: site.xStride,
      act_stride: site.actStride,
      gate_word: gate.word,
      up_word: up.word,
      gate_bias_word: gate.biasWord ?? 0,
      up_bias_word: up.biasWord ?? 0,
      ...slotParams(layer),
    },
    {
      x: { buffer: site.x },
      tiles: { buffer: site.tiles },
      pairs: { buffer: site.pairs },
      act: { buffer: site.act },
      ...slabBuffers(layer),
    },
  );
  const bytes = matrixBytes(gate) + matrixBytes(up);
  return (numTiles) => dispatch(bound, [ceilDiv(gate.rows, TILE), numTiles], numTiles * bytes);
}
