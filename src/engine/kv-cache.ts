/**
 * What one session remembers of its tokens: keys and values, and the products that short convolutions look back to. A layer
 * that sees a window keeps a ring just long enough for the window and one prefill chunk; one that sees all keeps the whole
 * context. A row belongs to a position, so a step that runs twice writes the same bytes twice, and a rewind needs no undoing.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import type { KvBuffers } from "../kernels/heads.ts";
import type { ConvRing } from "../kernels/short-conv.ts";
import type { LayerSpec, ModelSpec } from "../models/spec.ts";
import { padded } from "./scratch.ts";
import { convCapacity, kvBuffers, kvBytes, kvCapacity } from "./sizes.ts";

/** Positions that a layer can see from one token, itself included (`null`: all), and those that its cache holds. */
export interface Ring {
  readonly window: number | null;
  readonly capacity: number;
}

/** One buffer of it: rows of `rowBytes`, a position in row position % capacity. */
export interface KvStore {
  readonly buffer: LedgerBuffer;
  readonly rowBytes: number;
  readonly capacity: number;
}

export interface KvCache {
  /** One entry a layer; `undefined` for a layer without attention. */
  readonly layers: readonly (KvBuffers | undefined)[];
  /** One entry a layer; `undefined` for a layer without a short convolution. */
  readonly convs: readonly (ConvRing | undefined)[];
  /** All of both kinds. */
  readonly rings: readonly Ring[];
  /** Every buffer of both kinds, in a fixed order. */
  readonly stores: readonly KvStore[];
  readonly bytes: number;
  dispose(): void;
}

/** Ledger bytes of a cache for `contextLength` tokens. */
export function kvCacheBytes(spec: ModelSpec, contextLength: number, chunk: number): number {
  return spec.layers.reduce((sum, { attention, conv }) => {
    const kv = attention ? padded(kvBytes(attention, kvCapacity(attention, contextLength, chunk))) : 0;
    const ring = conv ? padded(convCapacity(conv, contextLength, chunk) * spec.hiddenSize * 4) : 0;
    return sum + (attention ? kvBuffers(attention) * kv : 0) + ring;
  }, 0);
}

/** @throws UsageError when one layer's keys outgrow a binding; DeviceError when the GPU refuses memory. */
export async function createKvCache(gpu: Gpu, spec: ModelSpec, contextLength: number, chunk: number): Promise<KvCache> {
  const bytesOf = ({ attention: a }: LayerSpec) => (a ? kvBytes(a, kvCapacity(a, contextLength, chunk)) : 0);
  const largest = Math.max(...spec.layers.map(bytesOf));
  if (largest > gpu.facts.maxBindingBytes) {
    const most = Math.floor((contextLength * gpu.facts.maxBindingBytes) / largest);
    throw new UsageError(
      `contextLength ${contextLength}: the keys of one layer would take ${largest} bytes, and this device binds ` +
        `${gpu.facts.maxBindingBytes}. Use at most ${most}.`,
      { details: { contextLength: most, maxBindingBytes: gpu.facts.maxBindingBytes } },
    );
  }
  const [layers, convs] = await gpu.ledger.checked(`a KV cache of ${contextLength} tokens`, () => [
    spec.layers.map((layer, i) => createKv(gpu, layer, i, contextLength, chunk)),
    spec.layers.map((layer, i) => createConvRing(gpu, layer, i, spec.hiddenSize, contextLength, chunk)),
  ]);
  return {
    layers,
    convs,
    rings: spec.layers.flatMap((layer) => ringsOf(layer, contextLength, chunk)),
    stores: [
      ...layers.flatMap((kv, i) => (kv ? kvStores(kv, spec.layers[i]) : [])),
      ...convs.flatMap((ring) => (ring ? [{ ...ring, rowBytes: spec.hiddenSize * 4 }] : [])),
    ],
    bytes: kvCacheBytes(spec, contextLength, chunk),
    dispose: () => {
      for (const kv of layers) {
        kv?.k.destroy();
        kv?.v.destroy();
      }
      for (const conv of convs) conv?.buffer.destroy();
    },
  };
}

function createKv(
  gpu: Gpu,
  { attention }: LayerSpec,
  layer: number,
  contextLength: number,
  chunk: number,
): KvBuffers | undefined {
  if (!attention) return undefined;
  const capacity = kvCapacity(attention, contextLength, chunk);
  const bytes = kvBytes(attention, capacity);
  const make = (what: string) => gpu.ledger.create("kv", `layer ${layer} ${what}`, bytes, STORAGE_USAGE);
  const k = make("keys");
  return { k, v: attention.latent ? k : make("values"), capacity }; // a latent is a value too
}

function createConvRing(
  gpu: Gpu,
  { conv }: LayerSpec,
  layer: number,
  channels: number,
  contextLength: number,
  chunk: number,
): ConvRing | undefined {
  if (!conv) return undefined;
  const capacity = convCapacity(conv, contextLength, chunk);
  const buffer = gpu.ledger.create("kv", `layer ${layer} convolution`, capacity * channels * 4, STORAGE_USAGE);
  return { buffer, capacity };
}

function kvStores({ k, v, capacity }: KvBuffers, layer: LayerSpec | undefined): KvStore[] {
  const rowBytes = layer?.attention ? kvBytes(layer.attention, 1) : 0;
  return [...new Set([k, v])].map((buffer) => ({ buffer, rowBytes, capacity })); // a latent is both
}

function ringsOf({ attention, conv }: LayerSpec, contextLength: number, chunk: number): Ring[] {
  const rings: Ring[] = [];
  if (attention) rings.push({ window: attention.window, capacity: kvCapacity(attention, contextLength, chunk) });
  if (conv) rings.push({ window: conv.kernel, capacity: convCapacity(conv, contextLength, chunk) });
  return rings;
}
