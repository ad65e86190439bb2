/** What a forward pass is built from, and the small questions that decode and prefill both ask of it. */

import { UnsupportedError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Command } from "../gpu/queue.ts";
import type { Finish, Gate } from "../kernels/finish.ts";
import type { Heads } from "../kernels/heads.ts";
import type { KernelHost, Matrix } from "../kernels/kernel.ts";
import type { Residual } from "../kernels/norm.ts";
import type { LayerSlabs, SlotMatrix } from "../kernels/slots.ts";
import { wideNorm } from "../kernels/wide-norm.ts";
import type { AttentionSpec, LayerTensor, ModelSpec, MoeSpec } from "../models/spec.ts";
import type { Pager } from "../pager/pager.ts";
import type { RamTier } from "../tiers/ram-tier.ts";
import type { SlotLayout } from "../weights/expert-table.ts";
import type { MatrixLayout } from "../weights/layout.ts";
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
  readonly ram: RamTier;
  readonly pager: Pager;
  /** Every expert is in the slot of its number for good: nothing is looked up, watched or replayed. */
  readonly allResident: boolean;
  /** Slot layout of every MoE layer, in order. */
  readonly expertLayouts: readonly SlotLayout[];
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

/** The biases of these vectors' names, or `undefined` where the model has none. */
export function layerBias(parts: Parts, layer: number, ...names: readonly LayerTensor[]): Finish | undefined {
  const biases = names.map((name) => parts.weights.vector({ layer, name })).filter((bias) => bias !== undefined);
  return biases.length === names.length ? { kind: "bias", biases } : undefined;
}

/** The norm over all queries and all keys of a token, where the model has that one. */
export function layerWideNorm(parts: Parts, layer: number): ((tokens: number) => Command) | undefined {
  const { wideQkNorm, numHeads, numKvHeads, headDim } = layerAttention(parts.spec, layer);
  if (!wideQkNorm) return undefined;
  return wideNorm(parts.host, {
    qCols: numHeads * headDim,
    kCols: numKvHeads * headDim,
    qGain: parts.weights.gain({ layer, name: "qNorm" }),
    kGain: parts.weights.gain({ layer, name: "kNorm" }),
    qkv: parts.scratch.buffers.qkv,
    stride: parts.sizes.qkv,
    eps: parts.spec.normEps,
  });
}

export function layerHeads(parts: Parts, layer: number): Heads {
  const attention = layerAttention(parts.spec, layer);
  const q = attention.qkNorm ? parts.weights.vector({ layer, name: "qNorm" }) : undefined;
  const k = attention.qkNorm ? parts.weights.vector({ layer, name: "kNorm" }) : undefined;
  return {
    numHeads: attention.numHeads,
    numKvHeads: attention.numKvHeads,
    headDim: attention.headDim,
    gains: q && k ? { q, k } : undefined,
    rope: ropeFor(parts.scratch, attention),
    eps: parts.spec.normEps,
    interleaved: attention.ropePairing === "interleaved",
    ropeDims: attention.ropeDims,
    scale: attention.scale,
    sinks: parts.weights.vector({ layer, name: "sinks" }),
    gated: attention.outputGate,
  };
}

/** A block's output on its way into the residual stream, with the gains of its own norm or its factor. */
export function residual(parts: Parts, layer: number, name: "attnOutputNorm" | "mlpOutputNorm"): Residual {
  const outputGain = parts.weights.vector({ layer, name });
  return { y: parts.scratch.buffers.y, outputGain, scale: parts.spec.residualScale };
}

/** Names of an MLP's matrices: gate, up, down. */
export type MlpNames = readonly [gate: LayerTensor, up: LayerTensor, down: LayerTensor];
export const DENSE_MLP: MlpNames = ["gate", "up", "down"];
export const SHARED_MLP: MlpNames = ["sharedGate", "sharedUp", "sharedDown"];

/** Slabs of MoE layer number `moe`, as they are now. */
export function layerSlabs(parts: Parts, moe: number): LayerSlabs {
  const slabs = parts.pager.slabs(moe);
  return { slabs: slabs.bindings, slotsPerSlab: slabs.slotsPerSlab, slotWords: expertLayout(parts, moe).words };
}

/** Where gate, if the experts have one, up and down lie in a slot of MoE layer number `moe`. */
export function slotMatrices(
  parts: Parts,
  moe: number,
): { gate: SlotMatrix | undefined; up: SlotMatrix; down: SlotMatrix } {
  const layout = expertLayout(parts, moe);
  const { biasWords } = layout;
  const at = ({ dtype, rows, quadsPerRow }: MatrixLayout, word: number, biasWord: number | undefined) => {
    return { dtype, rows, quadsPerRow, word, biasWord };
  };
  return {
    gate: layout.gate ? at(layout.gate, layout.gateWord, biasWords?.gate) : undefined,
    up: at(layout.up, layout.upWord, biasWords?.up),
    down: at(layout.down, layout.downWord, biasWords?.down),
  };
}

/** How the shared expert's output joins that of the chosen ones, which is there already. */
export function sharedFinish({ scratch, sizes }: Parts, { shared }: MoeSpec): Finish {
  const gate: Gate = { buffer: scratch.buffers.router, at: sizes.sharedGateAt, stride: sizes.routerRow };
  return { kind: "add", gate: shared?.gated ? gate : undefined };
}

/** What a layer with attention says of it. */
export function layerAttention(spec: ModelSpec, layer: number): AttentionSpec {
  const { attention } = layerSpec(spec, layer);
  if (!attention) throw new RangeError(`layer ${layer} has no attention`);
  return attention;
}

export function layerSpec(spec: ModelSpec, layer: number): ModelSpec["layers"][number] {
  const found = spec.layers[layer];
  if (!found) throw new RangeError(`layer ${layer} of ${spec.layers.length}`);
  return found;
}

function expertLayout(parts: Parts, moe: number): SlotLayout {
  const layout = parts.expertLayouts[moe];
  if (!layout) throw new RangeError(`MoE layer ${moe} of ${parts.expertLayouts.length}`);
  return layout;
}
