/**
 * What a GPU does in half a second of trying: copies from host memory, weights read by the matvec kernel, the price of a
 * dispatch and of a round trip. Weights are zeros, since no kernel looks at values to be faster; compiling is not counted.
 */
import { BLOCKS, type DType } from "../formats/dtype.ts";
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Command } from "../gpu/queue.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import { KernelHost, type Tuning } from "../kernels/kernel.ts";
import { matvec } from "../kernels/matvec.ts";
import { throwIfAborted } from "../util/abort.ts";
import { alignUp } from "../util/math.ts";
import { matrixLayout } from "../weights/layout.ts";
import type { DeviceSpeed } from "./run-estimate.ts";

/** Small enough to cost little beside being dispatched, large enough to be spread over the device as a layer's are. */
const TINY_BYTES = 32 * 2 ** 10;
/** A first look at a matrix this large says whether the device has time for a larger one. */
const SMALL_BYTES = 4 * 2 ** 20;
/** Beyond most caches, within the smallest binding that WebGPU allows. */
const LARGE_BYTES = 64 * 2 ** 20;
const COPY_BYTES = 4 * 2 ** 20;
/** How long each of the four figures is measured; a slow device takes what three small matrices take. */
const PART_MS = 100;
/** Dispatches one behind the other, whose time beside a round trip is theirs. */
const DISPATCHES = 64;
/** Fewer only where they take three times as long as they should: the answer is waited for. */
const LEAST_SAMPLES = 3;
const MOST_SAMPLES = 100;
/** Browsers round their clocks to as much. */
const CLOCK_MS = 0.1;
/** Most commands of one submission: a device fast enough for more is measured well by these. */
const MAX_REPEATS = 256;

/** The matrix that stands for the model's: storage type and width. */
export interface SampleMatrix {
  readonly dtype: DType;
  readonly cols: number;
}

/** A trial of one device; whoever makes it disposes it. */
export class DeviceBench {
  readonly #gpu: Gpu;
  readonly #host: KernelHost;
  readonly #signal: AbortSignal | undefined;
  readonly #sample: SampleMatrix;
  readonly #buffers: LedgerBuffer[] = [];
  #ready: { readonly tiny: Command; readonly small: Command } | undefined;
  #roundTripMs = 0;

  constructor(gpu: Gpu, tuning: Tuning, sample: SampleMatrix, signal: AbortSignal | undefined) {
    this.#gpu = gpu;
    this.#sample = sample;
    this.#host = new KernelHost(gpu, tuning);
    this.#signal = signal;
  }

  /**
   * Compiles, and runs once what drivers put off until then.
   * @throws DeviceError when the device is lost or refuses memory; `AbortError`.
   */
  async prepare(): Promise<void> {
    const tiny = await this.#product(this.#sample, TINY_BYTES);
    const small = await this.#product(this.#sample, SMALL_BYTES);
    await this.#gpu.pipelines.settled(this.#signal);
    await this.#time(tiny, small);
    this.#ready = { tiny, small };
  }

  /** Measures what `prepare` got ready. @throws as that does. */
  async measure(): Promise<DeviceSpeed> {
    if (!this.#ready) throw new RangeError("a bench is prepared first");
    const { tiny, small } = this.#ready;
    this.#roundTripMs = await this.#mean(() => this.#time(tiny));
    const matvecBytesPerSecond = await this.#matvecSpeed(small);
    const chain = Array.from({ length: DISPATCHES + 1 }, () => tiny);
    const chainMs = (await this.#mean(() => this.#beyondRoundTrip(...chain))) / DISPATCHES;
    const dispatchMs = Math.max(0, chainMs - (1000 * weightBytesOf(tiny)) / matvecBytesPerSecond);
    const copyBytesPerSecond = await this.#copySpeed(tiny);
    return { copyBytesPerSecond, matvecBytesPerSecond, dispatchMs, roundTripMs: this.#roundTripMs };
  }

  /** Frees what it allocated. */
  dispose(): void {
    this.#host.reset();
    for (const buffer of this.#buffers) buffer.destroy();
  }

  async #matvecSpeed(small: Command): Promise<number> {
    let product = small;
    let ms = await this.#beyondRoundTrip(small);
    if (ms * (LARGE_BYTES / SMALL_BYTES) < PART_MS) {
      product = await this.#product(this.#sample, LARGE_BYTES);
      ms = await this.#beyondRoundTrip(product);
    }
    const repeats = repeatsWithin(PART_MS / LEAST_SAMPLES, ms);
    const all = Array.from({ length: repeats }, () => product);
    ms = (await this.#mean(() => this.#beyondRoundTrip(...all))) / repeats;
    return perSecond(weightBytesOf(product), ms);
  }

  async #copySpeed(tiny: Command): Promise<number> {
    const to = await this.#buffer("measured copy", COPY_BYTES);
    const bytes = new Uint8Array(COPY_BYTES);
    const copy = async (repeats: number): Promise<number> => {
      const start = performance.now();
      for (let i = 0; i < repeats; i++) this.#gpu.queue.write(to, 0, bytes);
      await this.#run(tiny); // behind the copies, in the order of the queue
      return Math.max(CLOCK_MS, performance.now() - start - this.#roundTripMs);
    };
    await copy(1);
    const repeats = repeatsWithin(PART_MS / LEAST_SAMPLES, await copy(1));
    return perSecond(COPY_BYTES * repeats, await this.#mean(() => copy(repeats)));
  }

  /** A product with a matrix of about `bytes`. */
  async #product({ dtype, cols }: SampleMatrix, bytes: number): Promise<Command> {
    const width = alignUp(cols, Math.max(4, BLOCKS[dtype].elements));
    const rowBytes = matrixLayout(dtype, 1, width).words * 4;
    const rows = Math.max(1, Math.floor(Math.min(bytes, this.#gpu.facts.maxBindingBytes) / rowBytes));
    const { quadsPerRow, words } = matrixLayout(dtype, rows, width);
    const buffer = await this.#buffer("measured weights", words * 4);
    const x = { buffer: await this.#buffer("measured input", width * 4) };
    const out = await this.#buffer("measured output", rows * 4);
    return matvec(this.#host, [{ matrix: { dtype, rows, quadsPerRow, buffer }, outAt: 0 }], x, out);
  }

  async #buffer(label: string, bytes: number): Promise<LedgerBuffer> {
    const { ledger } = this.#gpu;
    const buffer = await ledger.checked(label, () => ledger.create("scratch", label, bytes, STORAGE_USAGE));
    this.#buffers.push(buffer);
    return buffer;
  }

  async #beyondRoundTrip(...commands: readonly Command[]): Promise<number> {
    return Math.max(CLOCK_MS, (await this.#time(...commands)) - this.#roundTripMs);
  }

  async #time(...commands: readonly Command[]): Promise<number> {
    const start = performance.now();
    await this.#run(...commands);
    return Math.max(CLOCK_MS, performance.now() - start);
  }

  /** Ends when the GPU has. */
  async #run(...commands: readonly Command[]): Promise<void> {
    throwIfAborted(this.#signal);
    const [first] = this.#buffers;
    await this.#gpu.queue.submitAndRead(commands, first ? [{ buffer: first, offset: 0, bytes: 4 }] : []);
  }

  /** Over some time, not the best of some: a token pays for what disturbs a busy machine too. */
  async #mean(sample: () => Promise<number>): Promise<number> {
    const start = performance.now();
    let [sum, count] = [0, 0];
    for (let took = 0; count === 0 || took < (count < LEAST_SAMPLES ? LEAST_SAMPLES * PART_MS : PART_MS); ) {
      sum += await sample();
      count += 1;
      took = performance.now() - start;
      if (count >= MOST_SAMPLES) break;
    }
    return sum / count;
  }
}

function weightBytesOf(command: Command): number {
  return command.kind === "dispatch" ? command.weightBytes : 0;
}

function repeatsWithin(limitMs: number, eachMs: number): number {
  return Math.max(1, Math.min(MAX_REPEATS, Math.floor(limitMs / eachMs)));
}

function perSecond(bytes: number, ms: number): number {
  return (1000 * bytes) / ms;
}
