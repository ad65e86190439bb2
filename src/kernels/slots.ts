/** How kernels reach expert weights: the slabs of a layer and the place of each matrix in a slot. */

import biasNone from "../../shaders/lib/expert-bias-none.wgsl?raw";
import biasSlot from "../../shaders/lib/expert-bias-slot.wgsl?raw";
import slots from "../../shaders/lib/slots.wgsl?raw";
import slabs1 from "../../shaders/lib/words-slabs-1.wgsl?raw";
import slabs2 from "../../shaders/lib/words-slabs-2.wgsl?raw";
import slabs4 from "../../shaders/lib/words-slabs-4.wgsl?raw";
import type { DType } from "../formats/dtype.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Fragment } from "../gpu/wgsl.ts";
import { dtypeFragments } from "./kernel.ts";

/** The slots of one layer on the GPU. */
export interface LayerSlabs {
  /** One, two or four bindings; fewer buffers than bindings are repeated. */
  readonly slabs: readonly LedgerBuffer[];
  readonly slotsPerSlab: number;
  /** Words of a slot. */
  readonly slotWords: number;
}

/** One projection of an expert inside its slot. Rows, quads and the word where it begins. */
export interface SlotMatrix {
  readonly dtype: DType;
  readonly rows: number;
  readonly quadsPerRow: number;
  readonly word: number;
  /** Word where its biases begin, as floats; in all matrices of a model, or in none. */
  readonly biasWord?: number | undefined;
}

const SLABS: Readonly<Record<number, string>> = { 1: slabs1, 2: slabs2, 4: slabs4 };

/** Fragments for reading `matrices` (by suffix: `weight4_gate`, …) out of `layer`'s slots. */
export function slotFragments(layer: LayerSlabs, matrices: Readonly<Record<string, SlotMatrix>>): Fragment[] {
  const words = SLABS[layer.slabs.length];
  if (words === undefined) throw new RangeError(`${layer.slabs.length} slabs: expected 1, 2 or 4`);
  const readers = Object.entries(matrices).flatMap(([name, { dtype }]) => dtypeFragments(dtype, `_${name}`, "word"));
  const bias = hasBias(matrices) ? biasSlot : biasNone;
  return [{ text: slots }, { text: words }, { text: bias }, ...readers];
}

/** Part of a kernel's key: empty for experts without biases. */
export function slotKey(matrices: Readonly<Record<string, SlotMatrix>>): string {
  return hasBias(matrices) ? " bias" : "";
}

function hasBias(matrices: Readonly<Record<string, SlotMatrix>>): boolean {
  return Object.values(matrices).some(({ biasWord }) => biasWord !== undefined);
}

export function slabBuffers(layer: LayerSlabs): Record<string, BufferRange> {
  return Object.fromEntries(layer.slabs.map((buffer, i) => [`slab_${i}`, { buffer }]));
}

export function slotParams(layer: LayerSlabs): { slot_words: number; slots_per_slab: number } {
  return { slot_words: layer.slotWords, slots_per_slab: layer.slotsPerSlab };
}
