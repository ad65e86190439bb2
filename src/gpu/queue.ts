/**
 * Work for the GPU: uploads, recorded submissions, read-backs; all in queue order, so a write made after a submission
 * never disturbs it. Counts what it does, by kind.
 */
import { DeviceError, UsageError } from "../errors.ts";
import type { Ledger, LedgerBuffer } from "./ledger.ts";
import type { Loss } from "./loss.ts";
import type { Bound } from "./pipelines.ts";

/** Workgroups in x and y. */
export type Grid = readonly [x: number, y: number];

/** One step of a recording: a dispatch, or a copy between buffers (bytes, multiples of 4). */
export type Command =
  | {
      readonly kind: "dispatch";
      readonly bound: Bound;
      readonly grid: Grid;
      /** Bytes of stored weights that the dispatch reads, each once. */
      readonly weightBytes: number;
    }
  | {
      readonly kind: "copy";
      readonly from: LedgerBuffer;
      readonly fromOffset: number;
      readonly to: LedgerBuffer;
      readonly toOffset: number;
      readonly bytes: number;
    };

/** A run of a buffer to read back. */
export interface Span {
  readonly buffer: LedgerBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export interface QueueCounts {
  submissions: number;
  dispatches: number;
  readbacks: number;
  weightBytesRead: number;
}

/** When a read-back's submission was through, and when its bytes were in the host's hands: `performance.now()`. */
export interface ReadTimes {
  /** Whether to ask when the submission is through, which costs the browser a message. */
  readonly wantDone: boolean;
  /** `undefined` where nobody asked, and where the bytes were there first. */
  doneAt: number | undefined;
  readAt: number;
}

export function readTimes(wantDone: boolean): ReadTimes {
  return { wantDone, doneAt: undefined, readAt: 0 };
}

/** A dispatch of `bound`; a grid with a zero is left out when recorded. */
export function dispatch(bound: Bound, grid: Grid, weightBytes = 0): Command {
  return { kind: "dispatch", bound, grid, weightBytes };
}

export class Queue {
  readonly counts: QueueCounts = { submissions: 0, dispatches: 0, readbacks: 0, weightBytesRead: 0 };
  readonly #ledger: Ledger;
  readonly #loss: Loss;
  #device: GPUDevice;
  /** Staging buffers not in use, reused by the next read-back that fits. */
  #staging: LedgerBuffer[] = [];

  constructor(device: GPUDevice, ledger: Ledger, loss: Loss) {
    this.#device = device;
    this.#ledger = ledger;
    this.#loss = loss;
  }

  /** Works on `device` from now on: the old one is lost. */
  adopt(device: GPUDevice): void {
    this.dispose();
    this.#device = device;
  }

  /** Writes `bytes` (a multiple of 4) at `offset`. */
  write(to: LedgerBuffer, offset: number, bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): void {
    if (ArrayBuffer.isView(bytes)) {
      this.#device.queue.writeBuffer(to.buffer, offset, bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } else {
      this.#device.queue.writeBuffer(to.buffer, offset, bytes);
    }
  }

  /** Submits `commands` in order, as few passes as copies allow. */
  submit(commands: readonly Command[]): void {
    this.#submit(this.#record(commands));
  }

  /**
   * Submits `commands` and gives the bytes of `spans` afterwards, one after another: one submission, one read-back.
   * @param times is filled in.
   * @throws DeviceError when the device is lost meanwhile.
   */
  async submitAndRead(commands: readonly Command[], spans: readonly Span[], times?: ReadTimes): Promise<ArrayBuffer> {
    const total = spans.reduce((sum, span) => sum + span.bytes, 0);
    const encoder = this.#record(commands);
    const staging = this.#takeStaging(total);
    let at = 0;
    for (const span of spans) {
      encoder.copyBufferToBuffer(span.buffer.buffer, span.offset, staging.buffer, at, span.bytes);
      at += span.bytes;
    }
    this.#submit(encoder);
    this.counts.readbacks += 1;
    if (times?.wantDone) this.#noteDone(times);
    try {
      await this.#loss.orGone(staging.buffer.mapAsync(GPU_MAP_READ, 0, total));
      const bytes = staging.buffer.getMappedRange(0, total).slice(0);
      staging.buffer.unmap();
      if (times) times.readAt = performance.now();
      this.#staging.push(staging);
      return bytes;
    } catch (error) {
      staging.destroy();
      if (error instanceof DeviceError) throw error;
      if ((await this.#loss.isGone()) && this.#loss.error) throw this.#loss.error;
      throw new DeviceError(`A read-back failed: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  /** Resolves when all that was submitted and written is done. @throws DeviceError when the device is lost meanwhile. */
  async idle(): Promise<void> {
    await this.#loss.orGone(this.#device.queue.onSubmittedWorkDone());
  }

  /** Frees the staging buffers that wait for reuse. */
  dispose(): void {
    for (const buffer of this.#staging.splice(0)) buffer.destroy();
  }

  #record(commands: readonly Command[]): GPUCommandEncoder {
    const encoder = this.#device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    for (const command of commands) {
      if (command.kind === "copy") {
        pass?.end();
        pass = undefined;
        const { from, fromOffset, to, toOffset, bytes } = command;
        encoder.copyBufferToBuffer(from.buffer, fromOffset, to.buffer, toOffset, bytes);
        continue;
      }
      if (command.grid[0] === 0 || command.grid[1] === 0) continue;
      pass ??= encoder.beginComputePass();
      const { pipeline } = command.bound.compiled;
      if (!pipeline) throw new UsageError(`Kernel "${command.bound.label}" is recorded before its pipeline settled.`);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, command.bound.group);
      pass.dispatchWorkgroups(command.grid[0], command.grid[1]);
      this.counts.dispatches += 1;
      this.counts.weightBytesRead += command.weightBytes;
    }
    pass?.end();
    return encoder;
  }

  #submit(encoder: GPUCommandEncoder): void {
    this.#device.queue.submit([encoder.finish()]);
    this.counts.submissions += 1;
  }

  /** Asked before the mapping is, so that it is answered before. A lost device tells through the mapping. */
  #noteDone(times: ReadTimes): void {
    const note = () => {
      times.doneAt = performance.now();
    };
    this.#device.queue.onSubmittedWorkDone().then(note, () => {});
  }

  #takeStaging(bytes: number): LedgerBuffer {
    const fits = this.#staging.findIndex((buffer) => buffer.bytes >= bytes);
    const [known] = fits < 0 ? [] : this.#staging.splice(fits, 1);
    if (known) return known;
    this.dispose(); // too small ones would only pile up
    return this.#ledger.create("staging", "read-back", bytes, GPU_MAP_READ_USAGE | GPU_COPY_DST);
  }
}

// The spec's flag values, spelled out because the globals are missing in some hosts.
const GPU_MAP_READ = 1;
const GPU_MAP_READ_USAGE = 0x0001;
const GPU_COPY_DST = 0x0008;
