/** How a GPU budget is spent, in ledger bytes: arithmetic on sizes, done before anything is allocated. */
import { BudgetError, UsageError } from "../errors.ts";
import type { LayerSpec, ModelSpec } from "../models/spec.ts";
import type { SlabGeometry } from "../pager/slabs.ts";
import { slabGeometry } from "../pager/slabs.ts";
import { humanBytes } from "../util/math.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { deviceWeightBytes } from "./device-weights.ts";
import { kvCacheBytes } from "./kv-cache.ts";
import { decodeRecordBytes, padded, totalScratchBytes } from "./scratch.ts";
import { moeLayers, type Sizes } from "./sizes.ts";
import type { MemoryPlan } from "./types.ts";

/** One MoE layer's slots as arithmetic. */
interface LayerSlots {
  readonly numExperts: number;
  readonly topK: number;
  readonly geometry: SlabGeometry;
}

/** What does not change with the budget. */
export interface MemoryNeeds {
  readonly denseBytes: number;
  readonly scratchBytes: number;
  readonly layers: readonly LayerSlots[];
}

/** Bytes that params and bookkeeping may take: two pages of the params arena and the residency table's rounding. */
const TABLES_RESERVE_BYTES = 2 * 64 * 1024;

/** @throws BudgetError when one layer's top-k cannot be bound on this device at all. */
export function memoryNeeds(spec: ModelSpec, weights: WeightMap, sizes: Sizes, maxBindingBytes: number): MemoryNeeds {
  const layers = moeLayers(spec).map(({ layer, mlp: { numExperts, topK } }) => {
    const slotBytes = weights.expertLayout(layer).words * 4;
    return { numExperts, topK, geometry: slabGeometry(slotBytes, numExperts, topK, maxBindingBytes) };
  });
  const params = spec.layers.reduce((sum, layer) => sum + paramsBytes(layer), 0);
  const residency = padded(Math.max(1, layers.length) * Math.max(1, sizes.numExperts) * 4);
  return {
    denseBytes: deviceWeightBytes(weights, maxBindingBytes),
    scratchBytes: totalScratchBytes(spec, sizes) + stagingBytes(sizes) + residency + params + TABLES_RESERVE_BYTES,
    layers,
  };
}

/** About two dozen kernel sites a layer over both phases, 256 bytes of params each; some more for blocks that few have. */
function paramsBytes({ attention, mlp }: LayerSpec): number {
  const wide = attention?.outputGate || attention?.wideQkNorm ? 2 : 0;
  const latent = attention?.latent ? 8 : 0;
  const shared = mlp?.kind === "moe" && mlp.shared ? 8 : 0;
  return (24 + wide + latent + shared) * 256;
}

/** The largest read-back that there is room for: a decode step's routing, logits and id, or a chunk's routing. */
export function readBackBytes(sizes: Sizes): number {
  return padded(Math.max(decodeRecordBytes(sizes) + sizes.vocab * 4 + 16, sizes.chunk * 3 * sizes.topK * 4));
}

/** The largest read-back, and that of a step queued behind. */
function stagingBytes(sizes: Sizes): number {
  return readBackBytes(sizes) + padded(decodeRecordBytes(sizes) + 4);
}

/** Ledger bytes of one session: its keys and values, the rings of its short convolutions, and its logits. */
export function sessionBytes(spec: ModelSpec, sizes: Sizes, contextLength: number): number {
  return kvCacheBytes(spec, contextLength, sizes.chunk) + padded(sizes.vocab * 4);
}

/**
 * Spends `budgetBytes` (`undefined`: all that is useful): dense, scratch and sessions first, slots from the rest, the
 * same number in every MoE layer.
 * @throws BudgetError naming the smallest budget that works.
 */
export function planMemory(needs: MemoryNeeds, kvBytes: number, budgetBytes: number | undefined): MemoryPlan {
  if (budgetBytes !== undefined && !(Number.isFinite(budgetBytes) && budgetBytes > 0)) {
    throw new UsageError(`gpuBudgetBytes is ${budgetBytes}; give a positive number of bytes.`);
  }
  const fixed = needs.denseBytes + needs.scratchBytes + kvBytes;
  const topK = leastSlots(needs);
  const most = Math.max(0, ...needs.layers.map((layer) => layer.geometry.maxSlots));
  const minBudgetBytes = fixed + slotBytes(needs, topK);
  const fullBudgetBytes = fixed + slotBytes(needs, most);
  const budget = budgetBytes ?? fullBudgetBytes;
  if (budget < minBudgetBytes) {
    throw new BudgetError(
      `A GPU budget of ${budget} bytes is too small: the smallest that works here is ${minBudgetBytes} ` +
        `(${humanBytes(minBudgetBytes)}): dense weights ${humanBytes(needs.denseBytes)}, sessions ${humanBytes(kvBytes)}, ` +
        `working memory ${humanBytes(needs.scratchBytes)}, and ${topK} experts in each of ${needs.layers.length} layers.`,
      { details: { smallestBytes: minBudgetBytes, budgetBytes: budget } },
    );
  }
  let slots = topK;
  while (slots < most && fixed + slotBytes(needs, slots + 1) <= budget) slots += 1;
  return {
    budgetBytes: budget,
    minBudgetBytes,
    fullBudgetBytes,
    denseBytes: needs.denseBytes,
    kvBytes,
    scratchBytes: needs.scratchBytes,
    expertBytes: needs.layers.reduce((sum, { numExperts, geometry }) => sum + numExperts * geometry.slotBytes, 0),
    slotBytes: slotBytes(needs, slots),
    slotsPerLayer: slots,
    expertsPerLayer: Math.max(0, ...needs.layers.map((layer) => layer.numExperts)),
  };
}

/** The fewest slots a layer with which a token can be computed. */
export function leastSlots({ layers }: MemoryNeeds): number {
  return Math.max(0, ...layers.map((layer) => layer.topK));
}

/** `plan` with `slots` slots a layer, and the budget that they come to. */
export function withSlots(needs: MemoryNeeds, plan: MemoryPlan, slots: number): MemoryPlan {
  const bytes = slotBytes(needs, slots);
  const budgetBytes = plan.denseBytes + plan.scratchBytes + plan.kvBytes + bytes;
  return { ...plan, budgetBytes, slotBytes: bytes, slotsPerLayer: slots };
}

function slotBytes({ layers }: MemoryNeeds, slots: number): number {
  return layers.reduce((sum, { geometry }) => sum + Math.min(slots, geometry.maxSlots) * geometry.slotBytes, 0);
}
