/**
 * What every kernel test stands on: one GPU a file, buffers from plain numbers, results read back, and at the end the
 * proof that nothing was left behind and that no error went unheard. Random numbers follow from a printed seed; to
 * repeat a run, set VITE_SEED to it.
 */
import { afterAll, beforeAll, expect } from "vitest";
import { BLOCKS, type DType, isScaled, storedBytes } from "../../../src/formats/dtype.ts";
import { type Gpu, openGpu } from "../../../src/gpu/device.ts";
import type { LedgerBuffer } from "../../../src/gpu/ledger.ts";
import type { Command } from "../../../src/gpu/queue.ts";
import { STORAGE_USAGE, UNIFORM_USAGE } from "../../../src/gpu/usage.ts";
import { KernelHost, type Matrix, type Tuning } from "../../../src/kernels/kernel.ts";
import { f32ToBf16, f32ToF16 } from "../../../src/util/half.ts";
import { type MatrixLayout, matrixLayout } from "../../../src/weights/layout.ts";
import { dequantizeRows, placeScales, repackRows } from "../../../src/weights/repack.ts";
import { quantizeFp8 } from "../../fixtures/fp8.ts";
import { quantize } from "../../fixtures/gguf/lib/ggml-quants.mjs";
import { assertClose, createRandom, nmse, type Random } from "../../reference/compare.ts";
import { watchGpu } from "./watched-gpu.ts";

export const DTYPES = Object.keys(BLOCKS) as DType[];

/**
 * Bound on the NMSE of f32 results against float64. A sum of n terms in f32 is off by about sqrt(n) * 6e-8 of its size,
 * a square of 1e-13 at n = 1000; WGSL lets exp be off by 3 + 2|x| units in the last place, 1e-12 for scores near 10.
 */
export const F32_BOUND = 1e-11;

/** The engine's choices for a software adapter and for a GPU. */
export const ENGINE_TUNINGS: readonly Tuning[] = [
  { lanes: 1, rows: 16 },
  { lanes: 32, rows: 4 },
];
/** One in between, which adds up lanes and is quick on a software adapter. */
export const TEST_TUNING: Tuning = { lanes: 4, rows: 16 };

/** Fills outputs beforehand: what still holds it was not written. No result of a test is exactly this. */
export const CANARY = -777.25;
/** The bits of `CANARY`. */
export const CANARY_WORD = new Uint32Array(new Float32Array([CANARY]).buffer)[0]!;

/** A matrix whose stored numbers are random, in the layout of the kernels. */
export interface RandomMatrix {
  readonly layout: MatrixLayout;
  readonly packed: Uint8Array<ArrayBuffer>;
  /** What the stored bytes stand for, [rows, cols]. */
  readonly values: Float32Array;
}

/** A region of an output: rows of `cols` floats from `at`, `stride` apart. */
export interface Region {
  readonly rows: number;
  readonly cols: number;
  readonly stride?: number;
  readonly at?: number;
}

export class Bench {
  readonly random: Random = createRandom(Number(import.meta.env.VITE_SEED) || undefined);
  readonly #hosts = new Map<string, KernelHost>();
  readonly #made: { destroy(): void }[] = [];
  readonly #watched = watchGpu(navigator.gpu);
  #gpu: Gpu | undefined;
  #worst = 0;

  async open(): Promise<void> {
    this.#gpu = await openGpu(this.#watched.gpu);
  }

  /** Destroys what was made, and expects an empty ledger and no error. Prints how far results were off at most. */
  async close(): Promise<void> {
    console.info(`worst NMSE ${this.#worst.toExponential(1)}, bound ${F32_BOUND.toExponential(1)}`);
    await this.gpu.pipelines.settled();
    await this.gpu.queue.submitAndRead([], [{ buffer: this.canaries(1), offset: 0, bytes: 4 }]); // errors are out then
    for (const buffer of this.#made) buffer.destroy();
    for (const host of this.#hosts.values()) host.reset();
    this.gpu.queue.dispose();
    expect(this.gpu.ledger.byOwner()).toEqual({});
    expect(this.#watched.errors).toEqual([]);
    this.gpu.destroy();
  }

  get gpu(): Gpu {
    if (!this.#gpu) throw new Error("the bench is not open yet");
    return this.#gpu;
  }

  /** The kernels' host for `tuning`. */
  host(tuning: Tuning = TEST_TUNING): KernelHost {
    const key = `${tuning.lanes} ${tuning.rows}`;
    const host = this.#hosts.get(key) ?? new KernelHost(this.gpu, tuning);
    this.#hosts.set(key, host);
    return host;
  }

  /** A storage buffer of these bytes. */
  bytes(content: Uint8Array<ArrayBuffer>): LedgerBuffer {
    return this.#make(content, STORAGE_USAGE);
  }

  floats(values: ArrayLike<number>): LedgerBuffer {
    return this.bytes(new Uint8Array(Float32Array.from(values).buffer));
  }

  words(values: ArrayLike<number>): LedgerBuffer {
    return this.bytes(new Uint8Array(Uint32Array.from(values).buffer));
  }

  /** An output of `count` floats (or words), none of them written yet. */
  canaries(count: number): LedgerBuffer {
    return this.floats(new Float32Array(count).fill(CANARY));
  }

  /** The kernels' `Step` uniform. */
  step(pos: number, tokens: number): LedgerBuffer {
    return this.uniform(new Uint8Array(new Uint32Array([pos, tokens, 0, 0]).buffer));
  }

  uniform(content: Uint8Array<ArrayBuffer>): LedgerBuffer {
    return this.#make(content, UNIFORM_USAGE);
  }

  matrix({ layout, packed }: RandomMatrix): Matrix {
    const { dtype, rows, quadsPerRow } = layout;
    return { dtype, rows, quadsPerRow, buffer: this.bytes(packed) };
  }

  /** Owns `buffer` from now on. */
  own<T extends { destroy(): void }>(buffer: T): T {
    this.#made.push(buffer);
    return buffer;
  }

  /** Runs `commands` and reads all of `outputs`, as floats. */
  async run(commands: readonly Command[], ...outputs: LedgerBuffer[]): Promise<Float32Array[]> {
    await this.gpu.pipelines.settled();
    const spans = outputs.map((buffer) => ({ buffer, offset: 0, bytes: buffer.bytes }));
    const bytes = await this.gpu.queue.submitAndRead(commands, spans);
    let at = 0;
    return spans.map((span) => {
      at += span.bytes;
      return new Float32Array(bytes, at - span.bytes, span.bytes / 4);
    });
  }

  /** Runs `commands` and reads one output. */
  async result(commands: readonly Command[], output: LedgerBuffer): Promise<Float32Array> {
    const [values] = await this.run(commands, output);
    return values!;
  }

  /**
   * Expects f32 results to agree with float64 ones within `F32_BOUND`. `size`: what a result usually measures, where
   * results are so few that all of them may happen to cancel to nearly nothing.
   */
  agrees(actual: ArrayLike<number>, expected: ArrayLike<number>, label?: string, size = 0): void {
    const energy = Array.from(expected).reduce((sum, value) => sum + value * value, 0);
    const floor = size * size * expected.length;
    const dilution = energy > 0 ? Math.max(1, floor / energy) : 1;
    assertClose(actual, expected, F32_BOUND * dilution, label);
    this.#worst = Math.max(this.#worst, nmse(actual, expected) / dilution);
  }

  #make(content: Uint8Array<ArrayBuffer>, usage: number): LedgerBuffer {
    // A kernel that strays meets canaries behind its data, not zeros.
    const padded = new Uint8Array(Math.max(16, Math.ceil(content.length / 16) * 16));
    new Float32Array(padded.buffer).fill(CANARY);
    padded.set(content);
    const buffer = this.gpu.ledger.create("scratch", "test", padded.length, usage);
    this.gpu.queue.write(buffer, 0, padded);
    return this.own(buffer);
  }
}

/** A bench for this file: opened before its tests, closed and checked after them. */
export function useBench(): Bench {
  const bench = new Bench();
  beforeAll(() => bench.open());
  afterAll(() => bench.close());
  return bench;
}

/** The floats of `region`, [rows, cols]; expects that nothing else of `output` was written. */
export function written(output: Float32Array, { rows, cols, stride = cols, at = 0 }: Region): Float32Array {
  const inside = new Float32Array(rows * cols);
  const rest = output.slice();
  for (let row = 0; row < rows; row++) {
    const from = at + row * stride;
    inside.set(output.subarray(from, from + cols), row * cols);
    rest.fill(CANARY, from, from + cols);
  }
  expect(rest.findIndex((value) => value !== CANARY)).toBe(-1);
  return inside;
}

/** Expects that nothing of `output` was written. */
export function untouched(output: Float32Array): void {
  written(output, { rows: 0, cols: 0 });
}

/** The words behind floats. */
export function wordsOf(floats: Float32Array): Uint32Array {
  return new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
}

/** `values` [rows, cols] in rows of whole quads; `padding` fills the rest of each. */
export function inQuads(values: ArrayLike<number>, cols: number, padding = 0): Float32Array {
  return inRows(values, cols, Math.ceil(cols / 4) * 4, 0, padding);
}

/** `values` [rows, cols] from float `at` of rows of `stride` floats; `padding` fills the rest. */
export function inRows(
  values: ArrayLike<number>,
  cols: number,
  stride: number,
  at: number,
  padding: number,
): Float32Array {
  const rows = values.length / cols;
  const out = new Float32Array(rows * stride).fill(padding);
  for (let i = 0; i < values.length; i++) out[Math.floor(i / cols) * stride + at + (i % cols)] = values[i]!;
  return out;
}

/** Normal numbers as the GPU holds them. */
export function normals(random: Random, count: number, deviation = 1): Float32Array {
  return Float32Array.from(random.randomNormals(count, deviation));
}

/** A matrix of normal numbers, stored as `dtype`; `cols` is whole blocks. */
export function randomMatrix(random: Random, dtype: DType, rows: number, cols: number): RandomMatrix {
  const layout = matrixLayout(dtype, rows, cols);
  if (isScaled(dtype)) {
    const { codes, scales, values } = quantizeFp8(dtype, normals(random, rows * cols), rows, cols);
    const packed = repackRows(dtype, codes, rows, cols);
    placeScales(layout, scales, packed);
    return { layout, packed, values };
  }
  const packed = repackRows(dtype, quantise(dtype, normals(random, rows * cols)), rows, cols);
  return { layout, packed, values: dequantizeRows(layout, packed) };
}

/** The columns that `dtype` can store nearest above `cols`. */
export function storableCols(dtype: DType, cols: number): number {
  const { elements } = BLOCKS[dtype];
  return Math.ceil(cols / elements) * elements;
}

/** The stored bytes of `values`, rounded to `dtype`. */
export function quantise(dtype: DType, values: Float32Array): Uint8Array {
  if (dtype === "F32") return new Uint8Array(values.slice().buffer);
  if (dtype === "F16") return new Uint8Array(Uint16Array.from(values, f32ToF16).buffer);
  if (dtype === "BF16") return new Uint8Array(Uint16Array.from(values, f32ToBf16).buffer);
  if (dtype !== "Q8_0") return quantize(dtype, values);
  const stored = new Uint8Array(storedBytes(dtype, values.length));
  const view = new DataView(stored.buffer);
  for (let block = 0; block < values.length / 32; block++) {
    const own = values.subarray(block * 32, (block + 1) * 32);
    const scale = Math.max(...own.map(Math.abs)) / 127 || 1;
    view.setUint16(block * 34, f32ToF16(scale), true);
    for (const [i, value] of own.entries()) view.setInt8(block * 34 + 2 + i, Math.round(value / scale));
  }
  return stored;
}
