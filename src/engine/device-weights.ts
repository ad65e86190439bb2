/** The dense weights on the GPU: read once, a piece at a time, so that the heap never holds a second copy of the model. */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import type { EmbedShard } from "../kernels/embed.ts";
import type { ModelSpec } from "../models/spec.ts";
import { digest, toHex } from "../tiers/digest.ts";
import { alignUp } from "../util/math.ts";
import { freeBytes } from "../util/owners.ts";
import { type MatrixLayout, matrixLayout, rowAlignment } from "../weights/layout.ts";
import type { TensorRef, WeightMap } from "../weights/weight-map.ts";
import { padded } from "./scratch.ts";

/** A piece of a matrix is at most this large: while it is read and uploaded, it is in memory several times over. */
const MAX_SHARD_BYTES = 32 * 2 ** 20;
/** Pieces of several matrices are read at the same time while they are no more than this together. */
const PARALLEL_BYTES = 48 * 2 ** 20;

/** A matrix as one or more runs of rows, each in a buffer of its own. */
export type DeviceMatrix = readonly EmbedShard[];

/** Bytes of every tensor that tell two models apart. */
const SAMPLE_BYTES = 2048;

export class DeviceWeights {
  readonly #matrices = new Map<string, DeviceMatrix>();
  readonly #vectors = new Map<string, LedgerBuffer>();
  /** The first bytes of every tensor, until they have become the fingerprint. */
  readonly #samples = new Map<string, Uint8Array<ArrayBuffer>>();
  #fingerprint: Promise<string> | undefined;

  /** @internal */
  add(ref: TensorRef, loaded: DeviceMatrix | LedgerBuffer): void {
    if ("buffer" in loaded) this.#vectors.set(keyOf(ref), loaded);
    else this.#matrices.set(keyOf(ref), loaded);
  }

  /** @internal The first bytes of a tensor, as they come. */
  sample(ref: TensorRef, bytes: ArrayBufferView<ArrayBuffer>): void {
    const length = Math.min(SAMPLE_BYTES, bytes.byteLength);
    if (!this.#fingerprint)
      this.#samples.set(keyOf(ref), new Uint8Array(bytes.buffer, bytes.byteOffset, length).slice());
  }

  /**
   * A digest that tells this model from others: its specification, and the beginning of every dense tensor. Models that
   * differ in nothing but later rows or experts would have the same; trained ones do not.
   */
  fingerprint(spec: ModelSpec): Promise<string> {
    this.#fingerprint ??= this.#digest(spec);
    return this.#fingerprint;
  }

  async #digest(spec: ModelSpec): Promise<string> {
    const sorted = [...this.#samples].sort(([a], [b]) => (a < b ? -1 : 1));
    this.#samples.clear();
    const shapes = [...this.#matrices].map(([key, [first]]) => [key, first?.dtype, first?.quadsPerRow]).sort();
    const text = JSON.stringify([spec, shapes, sorted.map(([key, { length }]) => [key, length])]);
    return toHex(
      await digest(new Uint8Array(await new Blob([text, ...sorted.map(([, bytes]) => bytes)]).arrayBuffer())),
    );
  }

  /** All runs of a matrix. @throws UsageError for a name that the model does not have. */
  shards(ref: TensorRef): DeviceMatrix {
    const matrix = this.#matrices.get(keyOf(ref));
    if (!matrix) throw new UsageError(`The model has no matrix ${keyOf(ref)}.`);
    return matrix;
  }

  /** The same; `undefined` before it is loaded. */
  known(ref: TensorRef): DeviceMatrix | undefined {
    return this.#matrices.get(keyOf(ref));
  }

  /** A vector [n] f32, padded with zeros to whole quads; `undefined` where the model has none. */
  vector(ref: TensorRef): LedgerBuffer | undefined {
    return this.#vectors.get(keyOf(ref));
  }

  /** A vector that must be there. */
  gain(ref: TensorRef): LedgerBuffer {
    const vector = this.vector(ref);
    if (!vector) throw new UsageError(`The model has no vector ${keyOf(ref)}.`);
    return vector;
  }
}

/** Ledger bytes of the dense weights on a device with bindings of `maxBindingBytes`. */
export function deviceWeightBytes(weights: WeightMap, maxBindingBytes: number): number {
  let total = 0;
  for (const { ref, shape } of weights.dense) {
    if (shape.length === 1) total += padded(shape[0] * 4);
    else
      for (const { rows } of cut(weights.matrix(ref), maxBindingBytes)) total += shardBytes(weights.matrix(ref), rows);
  }
  return total;
}

/**
 * Reads every dense tensor onto the GPU. `onBytes` hears the GPU bytes of each piece as it lands.
 * @param into weights whose buffers are there, but were lost their content: they are filled again.
 * @throws SourceError when bytes do not arrive; DeviceError when the GPU refuses memory; `AbortError`.
 */
export async function loadDeviceWeights(
  gpu: Gpu,
  weights: WeightMap,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
  into = new DeviceWeights(),
): Promise<DeviceWeights> {
  const load = async ({ ref, shape }: WeightMap["dense"][number]): Promise<void> => {
    if (shape.length === 1) into.add(ref, await loadVector(gpu, weights, ref, signal, onBytes, into));
    else into.add(ref, await loadMatrix(gpu, weights, ref, signal, onBytes, into));
  };
  for (const some of sideBySide(weights)) await Promise.all(some.map(load));
  return into;
}

/** The dense tensors in runs that are read at the same time. */
function sideBySide(weights: WeightMap): WeightMap["dense"][number][][] {
  const runs: WeightMap["dense"][number][][] = [];
  let bytes = 0;
  for (const tensor of weights.dense) {
    const own = tensor.shape.length === 1 ? 0 : Math.min(weights.matrix(tensor.ref).words * 4, MAX_SHARD_BYTES);
    const last = runs.at(-1);
    const fits = last && last.length < PARALLEL_TENSORS && bytes + own <= PARALLEL_BYTES;
    if (fits) last.push(tensor);
    else runs.push([tensor]);
    bytes = fits ? bytes + own : own;
  }
  return runs;
}

const PARALLEL_TENSORS = 6; // what browsers give one HTTP/1.1 host

async function loadVector(
  gpu: Gpu,
  weights: WeightMap,
  ref: TensorRef,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
  into: DeviceWeights,
): Promise<LedgerBuffer> {
  const values = await weights.readVector(ref, signal);
  signal?.throwIfAborted();
  into.sample(ref, values);
  const buffer = into.vector(ref) ?? gpu.ledger.create("dense", keyOf(ref), values.byteLength, STORAGE_USAGE);
  gpu.queue.write(buffer, 0, values);
  onBytes(buffer.bytes);
  return buffer;
}

async function loadMatrix(
  gpu: Gpu,
  weights: WeightMap,
  ref: TensorRef,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
  into: DeviceWeights,
): Promise<DeviceMatrix> {
  const layout = weights.matrix(ref);
  const known = into.known(ref);
  const shards: EmbedShard[] = [];
  for (const { rowStart, rows } of cut(layout, gpu.facts.maxBindingBytes)) {
    const bytes = await weights.readMatrixRows(ref, rowStart, rows, signal);
    signal?.throwIfAborted();
    const label = `${keyOf(ref)} from row ${rowStart}`;
    if (rowStart === 0) into.sample(ref, bytes);
    const make = () => gpu.ledger.create("dense", label, bytes.byteLength, STORAGE_USAGE);
    const buffer = known?.[shards.length]?.buffer ?? (await gpu.ledger.checked(label, make));
    gpu.queue.write(buffer, 0, bytes);
    freeBytes(bytes);
    onBytes(buffer.bytes);
    shards.push({ dtype: layout.dtype, rows, quadsPerRow: layout.quadsPerRow, rowStart, buffer });
  }
  return shards;
}

/** Buffers that a matrix takes on a device with bindings of `maxBindingBytes`. */
export function numPieces(layout: MatrixLayout, maxBindingBytes: number): number {
  return cut(layout, maxBindingBytes).length;
}

/** Runs of rows, each within one binding. */
function cut(layout: MatrixLayout, maxBindingBytes: number): { rowStart: number; rows: number }[] {
  const limit = Math.min(maxBindingBytes, MAX_SHARD_BYTES);
  let perShard = layout.rows;
  const alignment = rowAlignment(layout.dtype);
  while (perShard > alignment && shardBytes(layout, perShard) > limit) {
    perShard = alignUp(Math.ceil(perShard / 2), alignment);
  }
  const runs = [];
  for (let rowStart = 0; rowStart < layout.rows; rowStart += perShard) {
    runs.push({ rowStart, rows: Math.min(perShard, layout.rows - rowStart) });
  }
  return runs;
}

function shardBytes({ dtype, cols }: MatrixLayout, rows: number): number {
  return padded(alignUp(matrixLayout(dtype, rows, cols).words * 4, 16));
}

function keyOf(ref: TensorRef): string {
  return typeof ref === "string" ? ref : `layers.${ref.layer}.${ref.name}`;
}
