/** Prefill: the first half of experts without a gate over grouped tokens. See shaders/expert-matmul-up.wgsl. */

import text from "../../shaders/expert-matmul-up.wgsl?raw";
import tile from "../../shaders/lib/tile.wgsl?raw";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import type { ExpertMatmulGateUpSite } from "./expert-matmul-gate-up.ts";
import { type KernelHost, matrixBytes } from "./kernel.ts";
import { TILE } from "./matmul.ts";
import { slabBuffers, slotFragments, slotKey, slotParams } from "./slots.ts";

export type ExpertMatmulUpSite = Omit<ExpertMatmulGateUpSite, "gate" | "activation">;

export function expertMatmulUp(host: KernelHost, site: ExpertMatmulUpSite): (numTiles: number) => Command {
  const { layer, up } = site;
  const bound = host.bind(
    `expert-matmul-up ${up.dtype} ${layer.slabs.length}${slotKey({ up })}`,
    text,
    [{ text: tile }, ...slotFragments(layer, { up })],
    {
      quads: up.quadsPerRow,
      rows: up.rows,
      top_k: site.topK,
      x_at: site.xAt,
      x_stride: site.xStride,
      act_stride: site.actStride,
      up_word: up.word,
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
  return (numTiles) => dispatch(bound, [ceilDiv(up.rows, TILE), numTiles], numTiles * matrixBytes(up));
}
