/** The activation buffers, made once and used by every step; and the small ones that tell a step what to do. */
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { STORAGE_USAGE, UNIFORM_USAGE } from "../gpu/usage.ts";
import type { AttentionSpec, ModelSpec } from "../models/spec.ts";
import { alignUp } from "../util/math.ts";
import type { Sizes } from "./sizes.ts";

/** Rows of `keptX` and `keptH` are bound one at a time, so they start where a binding may. */
const BINDING_ALIGNMENT = 256;

/** Bytes of every scratch buffer by name; T = chunk tokens. */
export function scratchBytes(sizes: Sizes) {
  const { chunk, topK } = sizes;
  const rows = (floats: number, count = chunk) => floats * 4 * count;
  const kept = alignUp(sizes.hidden * 4, BINDING_ALIGNMENT) * sizes.numMoeLayers;
  const pairs = chunk * topK;
  return {
    ids: rows(1), // [T] u32; decode uses the first
    x0: rows(sizes.hidden), // [T, hidden] residual stream, in turns with x1
    x1: rows(sizes.hidden),
    h: rows(sizes.hidden), // [T, hidden] normed input of a block
    y: rows(sizes.hidden), // [T, hidden] output of a block
    qkv: rows(sizes.qkv), // [T, (H + 2K) d]
    attention: rows(sizes.attention), // [T, H d]
    gateUp: rows(2 * sizes.denseInner), // [T, 2 inner]
    denseAct: rows(sizes.denseInner), // [T, inner]
    router: rows(sizes.routerRow), // [T, logits | latent]
    expertAct: rows(sizes.expertInner, pairs), // [T topK, inner]
    z: rows(sizes.expertWidth, pairs), // [T topK, width] expert outputs, prefill only
    mixed: rows(sizes.expertWidth), // [T, width] combined
    routing: rows(3 * topK, Math.max(chunk, sizes.numMoeLayers)), // prefill [T, 3, topK], decode [MoE layers, 3, topK] u32
    tiles: 16 * (sizes.numExperts + Math.ceil(pairs / 32)), // (slot, first, count, 0)
    pairs: rows(1, pairs), // [T topK] u32
    lastH: rows(sizes.hidden, 1), // [hidden] of the last token of a prefill
    keptX: kept, // [MoE layers, hidden] residual after attention: where a decode step can replay from
    keptH: kept, // [MoE layers, hidden] its norm
  } as const;
}

export type ScratchName = keyof ReturnType<typeof scratchBytes>;

export interface Scratch {
  readonly buffers: Readonly<Record<ScratchName, LedgerBuffer>>;
  /** Bytes of one row of `keptX` and `keptH`. */
  readonly keptStride: number;
  /** `Step` uniform of the kernels: position of the first token, number of tokens. */
  readonly step: LedgerBuffer;
  /** `Sampling` uniform. */
  readonly sampling: LedgerBuffer;
  /** (cos, sin) tables [T, headDim / 2], one per rotary base and head size in the model. */
  readonly rope: readonly RopeTable[];
}

export interface RopeTable {
  readonly theta: number;
  readonly headDim: number;
  readonly buffer: LedgerBuffer;
}

/** Bytes of everything that `createScratch` makes. */
export function totalScratchBytes(spec: ModelSpec, sizes: Sizes): number {
  const rope = ropeKinds(spec).reduce((sum, { headDim }) => sum + padded(ropeBytes(headDim, sizes.chunk)), 0);
  const named = Object.values(scratchBytes(sizes)).reduce<number>((sum, bytes) => sum + padded(bytes), 0);
  return named + rope + padded(STEP_BYTES) + padded(SAMPLING_BYTES);
}

const STEP_BYTES = 16;
const SAMPLING_BYTES = 32;

export function createScratch(gpu: Gpu, spec: ModelSpec, sizes: Sizes): Scratch {
  const make = (name: string, bytes: number, usage = STORAGE_USAGE) => gpu.ledger.create("scratch", name, bytes, usage);
  const bytes = scratchBytes(sizes);
  const names = Object.keys(bytes) as ScratchName[];
  const buffers = Object.fromEntries(names.map((name) => [name, make(name, bytes[name])]));
  return {
    buffers: buffers as Record<ScratchName, LedgerBuffer>,
    keptStride: alignUp(sizes.hidden * 4, BINDING_ALIGNMENT),
    step: make("step", STEP_BYTES, UNIFORM_USAGE),
    sampling: make("sampling", SAMPLING_BYTES, UNIFORM_USAGE),
    rope: ropeKinds(spec).map(({ theta, headDim }) => ({
      theta,
      headDim,
      buffer: make(`rope ${theta}`, ropeBytes(headDim, sizes.chunk)),
    })),
  };
}

/** Cosines and sines of `count` positions from `pos` [count, headDim / 2, 2], computed in f64. */
export function ropeAngles({ theta, headDim }: RopeTable, pos: number, count: number): Float32Array<ArrayBuffer> {
  const half = headDim / 2;
  const table = new Float32Array(count * half * 2);
  for (let t = 0; t < count; t++) {
    for (let j = 0; j < half; j++) {
      const angle = (pos + t) * theta ** ((-2 * j) / headDim);
      table[(t * half + j) * 2] = Math.cos(angle);
      table[(t * half + j) * 2 + 1] = Math.sin(angle);
    }
  }
  return table;
}

/** The table for a layer's heads; `undefined` for a layer without positions. */
export function ropeFor(scratch: Scratch, { ropeTheta, headDim }: AttentionSpec): LedgerBuffer | undefined {
  return scratch.rope.find((table) => table.theta === ropeTheta && table.headDim === headDim)?.buffer;
}

function ropeKinds(spec: ModelSpec): { theta: number; headDim: number }[] {
  const kinds = new Map<string, { theta: number; headDim: number }>();
  for (const { attention } of spec.layers) {
    const { ropeTheta: theta, headDim } = attention;
    if (theta !== null) kinds.set(`${theta} ${headDim}`, { theta, headDim });
  }
  return [...kinds.values()];
}

function ropeBytes(headDim: number, chunk: number): number {
  return chunk * (headDim / 2) * 8;
}

/** What the ledger counts for a buffer of `bytes`. */
export function padded(bytes: number): number {
  return Math.max(16, alignUp(bytes, 16));
}
