/**
 * The GPU as the rest of the runtime sees it: a device with its ledger, pipelines, uploads, recorded submissions and
 * read-backs. Only this folder says `GPUDevice`.
 */
import { DeviceError } from "../errors.ts";
import type { AdapterFacts } from "./adapter-facts.ts";
import { Ledger } from "./ledger.ts";
import { Pipelines } from "./pipelines.ts";
import { Queue } from "./queue.ts";

export interface Gpu {
  readonly facts: AdapterFacts;
  readonly ledger: Ledger;
  readonly pipelines: Pipelines;
  readonly queue: Queue;
  /** Rejects with a DeviceError when the device is lost, except by `destroy`. */
  readonly lost: Promise<never>;
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
  return wrapDevice(adapter, device);
}

// Only what bigger bindings are used for: fewer shards of a matrix, more slots in a slab.
function largerLimits(adapter: GPUAdapter): Record<string, number> {
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  return { maxStorageBufferBindingSize, maxBufferSize };
}

function wrapDevice(adapter: GPUAdapter, device: GPUDevice): Gpu {
  const ledger = new Ledger(device);
  let closing = false;
  const lost = device.lost.then((info): never => {
    throw new DeviceError(
      closing
        ? "The device was closed."
        : `The GPU device was lost (${info.message || info.reason}). Load the model again.`,
      { code: "device-lost" },
    );
  });
  lost.catch(() => {});
  return {
    facts: adapterFacts(adapter, device),
    ledger,
    pipelines: new Pipelines(device),
    queue: new Queue(device, ledger, lost),
    lost,
    destroy: () => {
      closing = true;
      ledger.destroyAll();
      device.destroy();
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
