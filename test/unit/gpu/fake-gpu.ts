/** A GPU of plain arrays: buffers that remember their bytes, and refusals on demand. It runs no shader. */
import type { Gpu } from "../../../src/gpu/device.ts";
import { Ledger, type LedgerBuffer } from "../../../src/gpu/ledger.ts";
import { Loss } from "../../../src/gpu/loss.ts";
import { Queue } from "../../../src/gpu/queue.ts";

export interface FakeGpu {
  /** With a ledger and a queue; whatever else it is asked for is missing. */
  readonly gpu: Gpu;
  readonly ledger: Ledger;
  /** The bytes of a buffer now. @throws when it was destroyed. */
  readonly bytesOf: (buffer: LedgerBuffer) => Uint8Array;
  readonly wordsOf: (buffer: LedgerBuffer) => Uint32Array;
  /** Lets `count` more buffers be made and refuses memory from then on; `Infinity` for ever. */
  readonly refuseAfter: (count: number) => void;
  /** Error scopes that were opened and not closed. */
  readonly openScopes: () => number;
}

export function fakeGpu(maxBufferSize = 2 ** 30): FakeGpu {
  const contents = new WeakMap<GPUBuffer, Uint8Array<ArrayBuffer>>();
  const scopes: { filter: string; error: GPUError | null }[] = [];
  let allowed = Number.POSITIVE_INFINITY;
  const createBuffer = ({ size }: GPUBufferDescriptor) => {
    const buffer = { destroy: () => contents.delete(buffer) } as unknown as GPUBuffer;
    contents.set(buffer, new Uint8Array(size));
    allowed -= 1;
    const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
    if (allowed < 0 && scope) scope.error ??= { message: "no memory left" };
    return buffer;
  };
  const bytesOf = (buffer: GPUBuffer) => {
    const bytes = contents.get(buffer);
    if (!bytes) throw new Error("this buffer was destroyed");
    return bytes;
  };
  const writeBuffer = (to: GPUBuffer, offset: number, data: ArrayBuffer, start = 0, size = data.byteLength) => {
    if (offset % 4 !== 0 || size % 4 !== 0) throw new Error("a write must be whole words");
    bytesOf(to).set(new Uint8Array(data, start, size), offset);
  };
  const device = {
    limits: { maxBufferSize },
    createBuffer,
    queue: { writeBuffer },
    pushErrorScope: (filter: string) => scopes.push({ filter, error: null }),
    popErrorScope: async () => scopes.pop()?.error ?? null,
  } as unknown as GPUDevice;
  const ledger = new Ledger(device);
  const queue = new Queue(device, ledger, new Loss());
  return {
    gpu: { ledger, queue } as unknown as Gpu,
    ledger,
    bytesOf: ({ buffer }) => bytesOf(buffer),
    wordsOf: ({ buffer }) => new Uint32Array(bytesOf(buffer).buffer),
    refuseAfter: (count) => {
      allowed = count;
    },
    openScopes: () => scopes.length,
  };
}
