/** Puts together what a forward pass is built from: dense weights on the GPU, working memory, a pager without slots. */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { KernelHost, type Tuning } from "../kernels/kernel.ts";
import type { ModelSpec } from "../models/spec.ts";
import { type PagedLayer, Pager } from "../pager/pager.ts";
import { DEFAULT_POLICY } from "../pager/policy.ts";
import { RamTier } from "../tiers/ram-tier.ts";
import type { WeightMap } from "../weights/weight-map.ts";
import { loadDeviceWeights } from "./device-weights.ts";
import type { MemoryNeeds } from "./memory-plan.ts";
import type { EngineOptions } from "./options.ts";
import type { Parts } from "./parts.ts";
import { createScratch, type Scratch } from "./scratch.ts";
import { moeLayers, type Sizes } from "./sizes.ts";
import type { MemoryPlan } from "./types.ts";

// A software adapter runs the threads of a workgroup in turn, so a row has one. A GPU wants neighbours to read neighbouring words.
const SOFTWARE_TUNING: Tuning = { lanes: 1, rows: 16 };
const GPU_TUNING: Tuning = { lanes: 32, rows: 4 };

/** The shape of matvec workgroups on this device. */
export function tuningOf({ facts }: Gpu): Tuning {
  return facts.isFallback ? SOFTWARE_TUNING : GPU_TUNING;
}

/** @throws UnsupportedError, SourceError, DeviceError, `AbortError`. */
export async function buildParts(
  gpu: Gpu,
  weights: WeightMap,
  spec: ModelSpec,
  sizes: Sizes,
  needs: MemoryNeeds,
  options: EngineOptions,
): Promise<Parts> {
  let loadedBytes = 0;
  const onBytes = (bytes: number): void => {
    loadedBytes += bytes;
    options.onProgress?.(loadedBytes, needs.denseBytes);
  };
  onBytes(0);
  await weights.checkSkipped(options.signal);
  const deviceWeights = await loadDeviceWeights(gpu, weights, options.signal, onBytes);
  const ram = new RamTier(
    options.readExpert ?? ((layer, expert, { signal }) => weights.readExpert(layer, expert, signal)),
    options.ramBudgetBytes ?? 0,
  );
  const layers = moeLayers(spec);
  const paged = layers.map(({ layer, mlp: { numExperts } }, moe): PagedLayer => {
    const geometry = needs.layers[moe]?.geometry;
    if (!geometry) throw new RangeError(`MoE layer ${moe} has no plan`);
    const read: PagedLayer["read"] = (expert, how) => ram.read(layer, expert, how);
    const raise = (expert: number): void => options.raiseExpert?.(layer, expert);
    const atHand = (expert: number) => ram.peek(layer, expert);
    const done: PagedLayer["done"] = (bytes) => ram.done(bytes);
    return { layer, numExperts, geometry, read, raise, done, atHand };
  });
  const ropeFactors =
    spec.ropeFactors === undefined ? undefined : await weights.readVector("ropeFactors", options.signal);
  const [pager, scratch] = await gpu.ledger.checked("slots and working memory", (): [Pager, Scratch] => [
    new Pager(gpu, paged, options.policy ?? DEFAULT_POLICY, 0),
    createScratch(gpu, spec, sizes, ropeFactors),
  ]);
  return {
    gpu,
    spec,
    sizes,
    host: new KernelHost(gpu, options.tuning ?? tuningOf(gpu)),
    weights: deviceWeights,
    scratch,
    ram,
    pager,
    allResident: options.allResident ?? false,
    expertLayouts: layers.map(({ layer }) => weights.expertLayout(layer)),
  };
}

/** One by one, so that every expert comes into the slot of its number. */
export async function loadAllExperts(
  { pager }: Parts,
  plan: MemoryPlan,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (plan.slotsPerLayer < plan.expertsPerLayer) {
    throw new UsageError(`allResident needs a slot for every expert: a budget of ${plan.fullBudgetBytes} bytes.`, {
      details: { smallestBytes: plan.fullBudgetBytes },
    });
  }
  for (const [moe, { resident }] of pager.residentFlags().entries()) {
    for (const expert of resident.keys()) await pager.acquire([{ moe, experts: [expert], guess: false }], { signal });
  }
}
