/**
 * The GPU as the rest of the runtime sees it: a device with its ledger, pipelines, uploads, recorded submissions and
 * read-backs. Only this folder says `GPUDevice`.
 */
import { DeviceError } from "../errors.ts";
import { delay } from "../util/abort.ts";
import type { AdapterFacts } from "./adapter-facts.ts";
import { Ledger } from "./ledger.ts";
import { Loss } from "./loss.ts";
import { Pipelines } from "./pipelines.ts";
import { Queue } from "./queue.ts";

export interface Gpu {
  readonly facts: AdapterFacts;
  readonly ledger: Ledger;
  readonly pipelines: Pipelines;
  readonly queue: Queue;
  /** Whether the device is lost, and a way to wait for that. */
  readonly loss: Loss;
  /**
   * Another device in place of one that is lost. Every buffer of the ledger is there again, zeroed, under the entry that
   * it had; what was compiled or bound is void. Asks again for a while when the browser has no adapter yet.
   * @returns the facts of the adapter that it found: `facts` stays what it was.
   * @throws DeviceError when there is none, or one that binds less, or that refuses the memory.
   */
  reopen(signal?: AbortSignal): Promise<AdapterFacts>;
  /** Frees every buffer and the device. */
  destroy(): void;
}

export interface GpuOptions {
  /** Ask for nothing beyond the WebGPU default limits. */
  readonly stockLimits?: boolean;
}

/**
 * Asks `gpu` (a page's or worker's `navigator.gpu`, or Dawn's) for a device.
 * @throws DeviceError that says what is missing.
 */
export async function openGpu(gpu: GPU | undefined, options: GpuOptions = {}): Promise<Gpu> {
  if (!gpu) {
    throw new DeviceError(
      "This browser offers no WebGPU here (navigator.gpu is missing). Use a current Chrome, Edge, Safari 26 or Firefox " +
        "141+, over https or localhost.",
      { code: "no-webgpu" },
    );
  }
  return wrapDevice(await requestDevice(gpu, options), (signal) => insist(() => requestDevice(gpu, options), signal));
}

interface Opened {
  readonly facts: AdapterFacts;
  readonly device: GPUDevice;
}

async function requestDevice(gpu: GPU, options: GpuOptions): Promise<Opened> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new DeviceError(
      "WebGPU is there, but no adapter: the graphics driver is blocked or missing. Update it, or allow WebGPU in the " +
        "browser's settings (chrome://gpu tells why).",
      { code: "no-adapter" },
    );
  }
  const requiredLimits = options.stockLimits ? {} : largerLimits(adapter);
  const device = await adapter.requestDevice({ label: "octavo", requiredLimits }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DeviceError(`The adapter refused a device: ${reason}`, { code: "no-device", cause: error });
  });
  return { facts: adapterFacts(adapter, device), device };
}

/** A browser whose GPU process has just died has no adapter for a moment. */
const REOPEN_DELAYS_MS = [0, 100, 400, 1000, 2500];

async function insist<T>(request: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let last: unknown;
  for (const ms of REOPEN_DELAYS_MS) {
    await delay(ms, signal);
    try {
      return await request();
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

// Only what bigger bindings are used for: fewer shards of a matrix, more slots in a slab.
function largerLimits(adapter: GPUAdapter): Record<string, number> {
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  return { maxStorageBufferBindingSize, maxBufferSize };
}

function wrapDevice({ facts, device }: Opened, another: (signal?: AbortSignal) => Promise<Opened>): Gpu {
  let current = device;
  const loss = new Loss();
  loss.watch(device);
  const ledger = new Ledger(device);
  const pipelines = new Pipelines(device, loss);
  const queue = new Queue(device, ledger, loss);
  return {
    facts,
    ledger,
    pipelines,
    queue,
    loss,
    reopen: async (signal) => {
      const found = await another(signal);
      if (loss.closed || found.facts.maxBindingBytes < facts.maxBindingBytes) {
        found.device.destroy();
        throw new DeviceError(
          loss.closed
            ? "The device was closed."
            : `The GPU device was lost, and the one that is there now (${found.facts.name}) binds only ` +
                `${found.facts.maxBindingBytes} bytes at once, not ${facts.maxBindingBytes}. Load the model again.`,
          { code: "device-lost" },
        );
      }
      current = found.device;
      queue.adopt(current);
      pipelines.adopt(current);
      loss.watch(current);
      await ledger.adopt(current);
      return found.facts;
    },
    destroy: () => {
      loss.close();
      ledger.close();
      current.destroy();
    },
  };
}

function adapterFacts(adapter: GPUAdapter, device: GPUDevice): AdapterFacts {
  const { vendor, architecture, description, device: model } = adapter.info;
  const name = [description || model || architecture, vendor].filter((part) => part !== "").join(", ");
  return {
    name: name || "unnamed adapter",
    vendor,
    architecture,
    features: [...device.features].sort(),
    // Slot addresses spend 28 bits on the word within a slab: 1 GiB.
    maxBindingBytes: Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize, 2 ** 30),
    isFallback: adapter.info.isFallbackAdapter === true || architecture === "swiftshader",
  };
}
