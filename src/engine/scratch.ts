/** The activation buffers, made once and used by every step; and the small ones that tell a step what to do. */
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { STORAGE_USAGE, UNIFORM_STORAGE_USAGE, UNIFORM_USAGE } from "../gpu/usage.ts";
import type { AttentionSpec, ModelSpec, RopeScaling, YarnSpec } from "../models/spec.ts";
import { alignUp } from "../util/math.ts";
import type { Reach } from "./run-ahead.ts";
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
    qkv: rows(sizes.qkv), // [T, (H + 2K) d], with output gates (2H + 2K) d; of a short convolution [T, 3 hidden]
    attention: rows(sizes.attention), // [T, H d]; of a short convolution [T, hidden]
    latentHeads: rows(sizes.latentHeads), // [T, H rank] queries, then outputs, in the space of the latents
    gateUp: rows(2 * sizes.denseInner), // [T, 2 inner]
    denseAct: rows(sizes.denseInner), // [T, inner]
    router: rows(sizes.routerRow), // [T, logits | latent | gate of the shared expert]
    expertAct: rows(sizes.expertInner, pairs), // [T topK, inner]
    z: rows(sizes.expertWidth, pairs), // [T topK, width] expert outputs, prefill only
    mixed: rows(sizes.expertWidth), // [T, width] combined
    routing: Math.max(rows(3 * topK), 2 * decodeRecordBytes(sizes)), // prefill [T, 3, topK] u32; decode's record, a scout's
    nextRouter: rows(sizes.predictions > 0 ? sizes.routerLogits : 0, 1), // [logits] of the next MoE layer's router
    tiles: 16 * (sizes.numExperts + Math.ceil(pairs / 32)), // (slot, first, count, 0)
    pairs: rows(1, pairs), // [T topK] u32
    lastH: rows(sizes.hidden, 1), // [hidden] of the last token of a prefill
    keptX: kept, // [MoE layers, hidden] residual after attention: where a decode step can replay from
    keptH: kept, // [MoE layers, hidden] its norm
  } as const;
}

/** A decode step's record: [MoE layers, 3, topK], [MoE layers, hints], [MoE layers, 3, predictions] u32. */
export function decodeRecordBytes({ predictionsAt, numMoeLayers, predictions }: Sizes): number {
  return (predictionsAt + numMoeLayers * 3 * predictions) * 4;
}

export type ScratchName = keyof ReturnType<typeof scratchBytes>;

export interface Scratch {
  readonly buffers: Readonly<Record<ScratchName, LedgerBuffer>>;
  /** Bytes of one row of `keptX` and `keptH`. */
  readonly keptStride: number;
  /** `Step` uniform of the kernels: position of the first token, number of tokens; a decode step's reach. */
  readonly step: LedgerBuffer;
  /** [first missing MoE layer, halted] u32 of the decode step that runs. */
  readonly halt: LedgerBuffer;
  /** `Sampling` uniform. */
  readonly sampling: LedgerBuffer;
  /** (cos, sin) tables [T, dims / 2], one per way to turn heads in the model. */
  readonly rope: readonly RopeTable[];
}

/** A way to turn heads: base, elements that turn, stretch. */
export interface RopeKind {
  readonly theta: number;
  readonly dims: number;
  readonly yarn?: YarnSpec | undefined;
  readonly scaling?: RopeScaling | undefined;
}

export interface RopeTable extends RopeKind {
  /** How many times slower each pair turns than the rest of it says, [dims / 2]; all once when absent. */
  readonly factors?: Float32Array | undefined;
  readonly buffer: LedgerBuffer;
}

/** Bytes of everything that `createScratch` makes. */
export function totalScratchBytes(spec: ModelSpec, sizes: Sizes): number {
  const rope = ropeKinds(spec).reduce((sum, { dims }) => sum + padded(ropeBytes(dims, sizes.chunk)), 0);
  const named = Object.values(scratchBytes(sizes)).reduce<number>((sum, bytes) => sum + padded(bytes), 0);
  return named + rope + padded(STEP_BYTES) + padded(HALT_BYTES) + padded(SAMPLING_BYTES);
}

const STEP_BYTES = 16;
const HALT_BYTES = 8;
/** In place of a layer's number. */
const NONE = 0xffff_ffff;
const SAMPLING_BYTES = 32;

/** @param ropeFactors the tensor `ropeFactors`, where the spec has one. */
export function createScratch(gpu: Gpu, spec: ModelSpec, sizes: Sizes, ropeFactors?: Float32Array): Scratch {
  const make = (name: string, bytes: number, usage = STORAGE_USAGE) => gpu.ledger.create("scratch", name, bytes, usage);
  const bytes = scratchBytes(sizes);
  const names = Object.keys(bytes) as ScratchName[];
  const buffers = Object.fromEntries(names.map((name) => [name, make(name, bytes[name])]));
  return {
    buffers: buffers as Record<ScratchName, LedgerBuffer>,
    keptStride: alignUp(sizes.hidden * 4, BINDING_ALIGNMENT),
    step: make("step", STEP_BYTES, UNIFORM_USAGE),
    halt: make("halt", HALT_BYTES, UNIFORM_STORAGE_USAGE),
    sampling: make("sampling", SAMPLING_BYTES, UNIFORM_USAGE),
    rope: ropeKinds(spec).map((kind) => ({
      ...kind,
      factors: ropeFactors,
      buffer: make(`rope ${kind.theta}`, ropeBytes(kind.dims, sizes.chunk)),
    })),
  };
}

/** Lets the next submission run. What was queued before it has run, or been halted, when this lands. */
export function unhalt(gpu: Gpu, scratch: Scratch): void {
  gpu.queue.write(scratch.halt, 0, new Uint32Array([NONE, 0]));
}

/** Writes a step's uniform and rotary angles: its first position, its tokens, and how far it runs on behind a miss. */
export function writeStep(gpu: Gpu, scratch: Scratch, position: number, tokens: number, reach?: Reach): void {
  gpu.queue.write(scratch.step, 0, new Uint32Array([position, tokens, reach?.layers ?? 0, reach?.hints ?? 0]));
  for (const table of scratch.rope) gpu.queue.write(table.buffer, 0, ropeAngles(table, position, tokens));
}

/** Cosines and sines of `count` positions from `pos` [count, dims / 2, 2], computed in f64. */
export function ropeAngles(kind: Omit<RopeTable, "buffer">, pos: number, count: number): Float32Array<ArrayBuffer> {
  const half = kind.dims / 2;
  const size = kind.yarn ? (kind.yarn.size ?? 1 + 0.1 * Math.log(Math.max(1, kind.yarn.factor))) : 1;
  const table = new Float32Array(count * half * 2);
  for (let t = 0; t < count; t++) {
    for (let j = 0; j < half; j++) {
      const angle = ((pos + t) * frequency(kind, j)) / (kind.factors?.[j] ?? 1);
      table[(t * half + j) * 2] = Math.cos(angle) * size;
      table[(t * half + j) * 2 + 1] = Math.sin(angle) * size;
    }
  }
  return table;
}

/** Angle that pair `j` turns by per position. */
function frequency({ theta, dims, yarn, scaling }: RopeKind, j: number): number {
  const plain = theta ** ((-2 * j) / dims);
  if (scaling) return plain * slowed(scaling, plain);
  if (!yarn) return plain;
  // The pair that makes so many turns within the original context, as a number between pairs.
  const pairOf = (turns: number) =>
    (dims * Math.log(yarn.originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [pairOf(yarn.betaFast), pairOf(yarn.betaSlow)];
  const first = Math.max(0, yarn.truncate ? Math.floor(fast) : fast);
  const last = Math.min(dims - 1, yarn.truncate ? Math.ceil(slow) : slow);
  const stretched = Math.min(1, Math.max(0, (j - first) / Math.max(0.001, last - first)));
  return (plain / yarn.factor) * stretched + plain * (1 - stretched);
}

/** What `scaling` makes of a pair that turns by `plain` a position, as a factor. */
function slowed(scaling: RopeScaling, plain: number): number {
  if (scaling.kind === "linear") return 1 / scaling.factor;
  const { factor, lowFreqFactor, highFreqFactor, originalContext } = scaling;
  const turns = (originalContext * plain) / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
  return (1 - kept) / factor + kept;
}

/** The table for a layer's heads; `undefined` for a layer without positions. */
export function ropeFor(scratch: Scratch, attention: AttentionSpec): LedgerBuffer | undefined {
  const wanted = ropeKind(attention);
  return scratch.rope.find((table) => wanted && keyOf(table) === keyOf(wanted))?.buffer;
}

function ropeKinds(spec: ModelSpec): RopeKind[] {
  const attentions = spec.layers.map(({ attention }) => attention).filter((attention) => attention !== null);
  const kinds = attentions.map(ropeKind).filter((kind) => kind !== undefined);
  return [...new Map(kinds.map((kind) => [keyOf(kind), kind])).values()];
}

function ropeKind({ ropeTheta, headDim, ropeDims, yarn, ropeScaling }: AttentionSpec): RopeKind | undefined {
  return ropeTheta === null ? undefined : { theta: ropeTheta, dims: ropeDims ?? headDim, yarn, scaling: ropeScaling };
}

function keyOf({ theta, dims, yarn, scaling }: RopeKind): string {
  return JSON.stringify([theta, dims, yarn, scaling]);
}

function ropeBytes(dims: number, chunk: number): number {
  return chunk * (dims / 2) * 8;
}

/** What the ledger counts for a buffer of `bytes`. */
export function padded(bytes: number): number {
  return Math.max(16, alignUp(bytes, 16));
}
