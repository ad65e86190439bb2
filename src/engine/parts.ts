/** What a forward pass is built from, and the small questions that decode and prefill both ask of it. */

import { UnsupportedError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Heads } from "../kernels/heads.ts";
import type { KernelHost, Matrix } from "../kernels/kernel.ts";
import type { LayerSlabs, SlotMatrix } from "../kernels/slots.ts";
import type { LayerTensor, ModelSpec } from "../models/spec.ts";
import type { Pager } from "../pager/pager.ts";
import type { ExpertLayout, MatrixLayout } from "../weights/layout.ts";
import type { DeviceWeights } from "./device-weights.ts";
import { ropeFor, type Scratch } from "./scratch.ts";
import type { Sizes } from "./sizes.ts";

export interface Parts {
  readonly gpu: Gpu;
  readonly spec: ModelSpec;
  readonly sizes: Sizes;
  readonly host: KernelHost;
  readonly weights: DeviceWeights;
  readonly scratch: Scratch;
  readonly pager: Pager;
  /** Slot layout of every MoE layer, in order. */
  readonly expertLayouts: readonly ExpertLayout[];
}

/** A layer's matrix in one piece. @throws UnsupportedError when it did not fit one binding. */
export function layerMatrix(parts: Parts, layer: number, name: LayerTensor): Matrix {
  const shards = parts.weights.shards({ layer, name });
  const [whole] = shards;
  if (whole && shards.length === 1) return whole;
  throw new UnsupportedError(
    `Layer ${layer}: matrix "${name}" outgrows a storage binding of ${parts.gpu.facts.maxBindingBytes} bytes. ` +
      "Use a device with larger bindings.",
  );
}

export function layerHeads(parts: Parts, layer: number): Heads {
  const { attention } = layerSpec(parts.spec, layer);
  const q = parts.weights.vector({ layer, name: "qNorm" });
  const k = parts.weights.vector({ layer, name: "kNorm" });
  return {
    numHeads: attention.numHeads,
    numKvHeads: attention.numKvHeads,
    headDim: attention.headDim,
    gains: q && k ? { q, k } : undefined,
    rope: ropeFor(parts.scratch, attention),
    eps: parts.spec.normEps,
  };
}

/** A block's output on its way into the residual stream, with the gains of its own norm. */
export function residual(
  parts: Parts,
  layer: number,
  name: "attnOutputNorm" | "mlpOutputNorm",
): { y: LedgerBuffer; outputGain: LedgerBuffer | undefined } {
  return { y: parts.scratch.buffers.y, outputGain: parts.weights.vector({ layer, name }) };
}

/** Slabs of MoE layer number `moe`, as they are now. */
export function layerSlabs(parts: Parts, moe: number): LayerSlabs {
  const slabs = parts.pager.slabs(moe);
  return { slabs: slabs.bindings, slotsPerSlab: slabs.slotsPerSlab, slotWords: expertLayout(parts, moe).words };
}

/** Where gate, up and down lie in a slot of MoE layer number `moe`. */
export function slotMatrices(parts: Parts, moe: number): { gate: SlotMatrix; up: SlotMatrix; down: SlotMatrix } {
  const layout = expertLayout(parts, moe);
  const at = ({ dtype, rows, quadsPerRow }: MatrixLayout, word: number) => ({ dtype, rows, quadsPerRow, word });
  return {
    gate: at(layout.gate, layout.gateWord),
    up: at(layout.up, layout.upWord),
    down: at(layout.down, layout.downWord),
  };
}

export function layerSpec(spec: ModelSpec, layer: number): ModelSpec["layers"][number] {
  const found = spec.layers[layer];
  if (!found) throw new RangeError(`layer ${layer} of ${spec.layers.length}`);
  return found;
}

function expertLayout(parts: Parts, moe: number): ExpertLayout {
  const layout = parts.expertLayouts[moe];
  if (!layout) throw new RangeError(`MoE layer ${moe} of ${parts.expertLayouts.length}`);
  return layout;
}
