/**
 * The stored bytes of a tensor that lies nowhere: every run of 512 elements is a copy out of a pool of valid blocks, and
 * where in the pool it starts is a hash of (seed, tensor, number of the run). So any range costs its own length only,
 * and copying is all it costs. A pool is 2^17 near-normal numbers in the tensor's storage type.
 */
import { BLOCKS, type DType, storedBytes } from "../../src/formats/dtype.ts";
import { encodeTensor } from "../fixtures/make-gguf.ts";
import { mix, mixText, normalAt } from "./hash.ts";

/** What a tensor's numbers look like. */
export interface Values {
  /** Names the stream of numbers: tensors of one key hold the same ones, whatever their container calls them. */
  readonly key: string;
  readonly deviation: number;
  readonly mean: number;
  /** Row r is multiplied by exp(rowSpread * g(r)), g normal: rows of unequal size, in F32 tensors only. */
  readonly rowSpread?: number;
}

export interface VirtualTensor {
  /** The file's name for it. */
  readonly name: string;
  readonly dtype: DType;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly values: Values;
  /** Where in the stream of `values` the tensor starts, in elements: an expert kept apart is a part of all of them. */
  readonly firstElement: number;
}

const RUN_ELEMENTS = 512;
const POOL_ELEMENTS = 2 ** 17;

/** Bytes that `tensor` takes in a file. */
export function tensorLength({ dtype, shape }: VirtualTensor): number {
  return storedBytes(dtype, numElements(shape));
}

export function numElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Makes the bytes of tensors from one seed; keeps the pools that it has needed. */
export class TensorBytes {
  readonly #seed: number;
  readonly #pools = new Map<string, Uint8Array>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Fills `target` with the bytes of `tensor` from byte `offset` on. */
  fill(tensor: VirtualTensor, offset: number, target: Uint8Array): void {
    const { dtype, values } = tensor;
    const start = storedBytes(dtype, tensor.firstElement) + offset;
    if (values.rowSpread === undefined) this.#fillStream(dtype, values, start, target);
    else this.#fillSpread(tensor, values.rowSpread, start, target);
  }

  #fillStream(dtype: DType, values: Values, start: number, target: Uint8Array): void {
    const pool = this.#poolOf(dtype, values);
    const runBytes = storedBytes(dtype, RUN_ELEMENTS);
    const blockBytes = BLOCKS[dtype].bytes;
    const numStarts = (pool.length - runBytes) / blockBytes + 1;
    const stream = mixText(this.#seed, values.key);
    for (let at = 0; at < target.length; ) {
      const run = Math.floor((start + at) / runBytes);
      const within = start + at - run * runBytes;
      const count = Math.min(runBytes - within, target.length - at);
      const from = (mix(stream, run) % numStarts) * blockBytes + within;
      target.set(pool.subarray(from, from + count), at);
      at += count;
    }
  }

  /** Rows of unequal size are multiplied out, so whole elements are made and cut. */
  #fillSpread(tensor: VirtualTensor, rowSpread: number, start: number, target: Uint8Array): void {
    const { dtype, shape, values } = tensor;
    if (dtype !== "F32") throw new RangeError(`${tensor.name}: rows of unequal size are made in F32 only`);
    const first = Math.floor(start / 4);
    const floats = new Float32Array(Math.ceil((start + target.length) / 4) - first);
    const bytes = new Uint8Array(floats.buffer);
    this.#fillStream(dtype, values, first * 4, bytes);
    const rowLength = shape.at(-1) ?? 1;
    const sizes = mixText(this.#seed, `${values.key} rows`);
    floats.forEach((value, i) => {
      floats[i] = value * rowSize(sizes, rowSpread, Math.floor((first + i) / rowLength));
    });
    target.set(bytes.subarray(start - first * 4, start - first * 4 + target.length));
  }

  #poolOf(dtype: DType, { deviation, mean }: Values): Uint8Array {
    const key = `${dtype} ${deviation} ${mean}`;
    const pool = this.#pools.get(key) ?? makePool(mixText(this.#seed, "pool"), dtype, deviation, mean);
    this.#pools.set(key, pool);
    return pool;
  }
}

function makePool(seed: number, dtype: DType, deviation: number, mean: number): Uint8Array {
  const values = Float32Array.from({ length: POOL_ELEMENTS }, (_, i) => mean + deviation * normalAt(seed, i));
  return encodeTensor(dtype, values);
}

/** exp(spread * g) by its series up to the square, which integers and products give alike everywhere; never below 0.2. */
function rowSize(seed: number, spread: number, row: number): number {
  const g = spread * normalAt(seed, row);
  return Math.max(0.2, 1 + g + (g * g) / 2);
}
