/** Decode: gate, up and activation of the chosen experts. See shaders/expert-gate-up.wgsl. */

import text from "../../shaders/expert-gate-up.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type Activation, activationFragment } from "./activation.ts";
import { type KernelHost, matrixBytes } from "./kernel.ts";
import { type LayerSlabs, type SlotMatrix, slabBuffers, slotFragments, slotKey, slotParams } from "./slots.ts";

export interface ExpertGateUpSite {
  readonly layer: LayerSlabs;
  readonly gate: SlotMatrix;
  readonly up: SlotMatrix;
  readonly topK: number;
  /** The vector that experts read, from quad `xAt`. */
  readonly x: BufferRange;
  readonly xAt: number;
  readonly routing: LedgerBuffer;
  readonly routingAt: number;
  /** [topK, actStride] */
  readonly act: LedgerBuffer;
  readonly actStride: number;
  readonly activation?: Activation | undefined;
}

export function expertGateUp(host: KernelHost, site: ExpertGateUpSite): Command {
  const { layer, gate, up } = site;
  const activation = activationFragment(site.activation);
  const { tuning } = host;
  const bound = host.bind(
    `expert-gate-up ${gate.dtype} ${up.dtype} ${layer.slabs.length}${slotKey({ gate, up })}${activation.key}`,
    text,
    [activation.fragment, ...slotFragments(layer, { gate, up })],
    {
      quads: gate.quadsPerRow,
      rows: gate.rows,
      x_at: site.xAt,
      act_stride: site.actStride,
      top_k: site.topK,
      routing_at: site.routingAt,
      gate_word: gate.word,
      up_word: up.word,
      gate_bias_word: gate.biasWord ?? 0,
      up_bias_word: up.biasWord ?? 0,
      ...slotParams(layer),
    },
    { x: site.x, routing: { buffer: site.routing }, act: { buffer: site.act }, ...slabBuffers(layer) },
    { ROWS: tuning.rows, LANES: tuning.lanes },
  );
  return dispatch(
    bound,
    [ceilDiv(gate.rows, tuning.rows), site.topK],
    site.topK * (matrixBytes(gate) + matrixBytes(up)),
  );
}
