/** Decode: the first half of the chosen experts without a gate. See shaders/expert-up.wgsl. */

import text from "../../shaders/expert-up.wgsl?raw";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import type { ExpertGateUpSite } from "./expert-gate-up.ts";
import { type KernelHost, matrixBytes } from "./kernel.ts";
import { slabBuffers, slotFragments, slotKey, slotParams } from "./slots.ts";

export type ExpertUpSite = Omit<ExpertGateUpSite, "gate" | "activation">;

export function expertUp(host: KernelHost, site: ExpertUpSite): Command {
  const { layer, up } = site;
  const { tuning } = host;
  const bound = host.bind(
    `expert-up ${up.dtype} ${layer.slabs.length}${slotKey({ up })}`,
    text,
    slotFragments(layer, { up }),
    {
      quads: up.quadsPerRow,
      rows: up.rows,
      x_at: site.xAt,
      act_stride: site.actStride,
      top_k: site.topK,
      routing_at: site.routingAt,
      up_word: up.word,
      up_bias_word: up.biasWord ?? 0,
      ...slotParams(layer),
    },
    { x: site.x, routing: { buffer: site.routing }, act: { buffer: site.act }, ...slabBuffers(layer) },
    { ROWS: tuning.rows, LANES: tuning.lanes },
  );
  return dispatch(bound, [ceilDiv(up.rows, tuning.rows), site.topK], site.topK * matrixBytes(up));
}
