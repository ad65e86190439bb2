/**
 * Keys and values of one session. A layer with a window keeps a ring just long enough for the window and one prefill
 * chunk; a layer without keeps the whole context.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import type { KvBuffers } from "../kernels/heads.ts";
import type { ModelSpec } from "../models/spec.ts";
import { padded } from "./scratch.ts";
import { kvBuffers, kvBytes, kvCapacity } from "./sizes.ts";

export interface KvCache {
  /** One entry a layer. */
  readonly layers: readonly KvBuffers[];
  readonly bytes: number;
  dispose(): void;
}

/** Ledger bytes of a cache for `contextLength` tokens. */
export function kvCacheBytes(spec: ModelSpec, contextLength: number, chunk: number): number {
  return spec.layers.reduce(
    (sum, { attention }) =>
      sum + kvBuffers(attention) * padded(kvBytes(attention, kvCapacity(attention, contextLength, chunk))),
    0,
  );
}

/** @throws UsageError when one layer's keys outgrow a binding; DeviceError when the GPU refuses memory. */
export async function createKvCache(gpu: Gpu, spec: ModelSpec, contextLength: number, chunk: number): Promise<KvCache> {
  const largest = Math.max(...spec.layers.map(({ attention: a }) => kvBytes(a, kvCapacity(a, contextLength, chunk))));
  if (largest > gpu.facts.maxBindingBytes) {
    const most = Math.floor((contextLength * gpu.facts.maxBindingBytes) / largest);
    throw new UsageError(
      `contextLength ${contextLength}: the keys of one layer would take ${largest} bytes, and this device binds ` +
        `${gpu.facts.maxBindingBytes}. Use at most ${most}.`,
    );
  }
  const layers = await gpu.ledger.checked(`a KV cache of ${contextLength} tokens`, () =>
    spec.layers.map(({ attention }, i) => {
      const capacity = kvCapacity(attention, contextLength, chunk);
      const bytes = kvBytes(attention, capacity);
      const make = (what: string) => gpu.ledger.create("kv", `layer ${i} ${what}`, bytes, STORAGE_USAGE);
      const k = make("keys");
      return { k, v: attention.latent ? k : make("values"), capacity }; // a latent is a value too
    }),
  );
  return {
    layers,
    bytes: kvCacheBytes(spec, contextLength, chunk),
    dispose: () => {
      for (const { k, v } of layers) {
        k.destroy();
        v.destroy();
      }
    },
  };
}
