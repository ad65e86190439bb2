/**
 * Who owns how many bytes of GPU buffers. Every buffer of the runtime is made and destroyed here, so that the budget is
 * a count and not an estimate, and a test can see that nothing was left behind.
 */
import { DeviceError, UsageError } from "../errors.ts";

/** What a buffer is for; the keys of `Stats.gpuBytes`. */
export type Owner = "dense" | "slots" | "kv" | "scratch" | "staging" | "tables";

/** A GPU buffer whose bytes are on the ledger until `destroy`. */
export interface LedgerBuffer {
  readonly buffer: GPUBuffer;
  readonly label: string;
  readonly bytes: number;
  destroy(): void;
}

export class Ledger {
  readonly #byOwner = new Map<Owner, number>();
  /** Live buffers, each with how to make it anew. */
  readonly #live = new Map<LedgerBuffer, () => void>();
  #device: GPUDevice;
  #closed = false;
  #total = 0;
  #peak = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A zeroed buffer of `bytes` (rounded up to 16) on `owner`'s account. Memory refusals surface in `checked`. */
  create(owner: Owner, label: string, bytes: number, usage: GPUBufferUsageFlags): LedgerBuffer {
    if (this.#closed) throw new UsageError("This model was disposed. Load it again to use it.", { code: "disposed" });
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const limit = this.#device.limits.maxBufferSize;
    if (size > limit)
      throw new DeviceError(`Buffer "${label}" needs ${size} bytes; this device allows ${limit}.`, {
        code: "out-of-memory",
      });
    let buffer = this.#device.createBuffer({ label, size, usage });
    const entry: LedgerBuffer = {
      get buffer() {
        return buffer;
      },
      label,
      bytes: size,
      destroy: () => {
        if (!this.#live.delete(entry)) return;
        buffer.destroy();
        this.#count(owner, -size);
      },
    };
    this.#live.set(entry, () => {
      buffer = this.#device.createBuffer({ label, size, usage });
    });
    this.#count(owner, size);
    return entry;
  }

  /**
   * Runs `make`, which creates buffers, and turns the device's refusal of memory into a DeviceError. When it throws, the
   * buffers of `make` are gone again.
   */
  async checked<T>(what: string, make: () => T): Promise<T> {
    const before = new Set(this.#live.keys());
    const added = () => [...this.#live.keys()].filter((entry) => !before.has(entry));
    this.#device.pushErrorScope("out-of-memory");
    this.#device.pushErrorScope("validation");
    const scopes = () => Promise.all([this.#device.popErrorScope(), this.#device.popErrorScope()]);
    let made: T;
    try {
      made = make();
    } catch (error) {
      scopes().catch(() => {});
      for (const entry of added()) entry.destroy();
      throw error;
    }
    const ownBuffers = added();
    const errors = await scopes().catch((reason: unknown) => {
      for (const entry of ownBuffers) entry.destroy(); // a lost device has no answer
      throw new DeviceError(`The GPU did not say whether it has ${what}.`, { cause: reason });
    });
    const error = errors.find((e) => e !== null);
    if (!error) return made;
    for (const entry of ownBuffers) entry.destroy();
    const message = `The GPU refused ${what}: ${error.message} Try a smaller gpuBudgetBytes.`;
    throw new DeviceError(message, { code: errors[1] ? "out-of-memory" : "device" });
  }

  /** Live bytes by owner; owners without any are left out, so an empty record means that nothing is left. */
  byOwner(): Record<string, number> {
    return Object.fromEntries([...this.#byOwner].filter(([, bytes]) => bytes > 0));
  }

  get totalBytes(): number {
    return this.#total;
  }

  /** Largest total so far. */
  get peakBytes(): number {
    return this.#peak;
  }

  destroyAll(): void {
    for (const entry of [...this.#live.keys()]) entry.destroy();
  }

  /** Destroys all, and makes nothing any more: what still runs finds out. */
  close(): void {
    this.#closed = true;
    this.destroyAll();
  }

  /** Makes every live buffer anew, zeroed, on `device`, for the old one is lost. @throws DeviceError when it has no memory. */
  async adopt(device: GPUDevice): Promise<void> {
    this.#device = device;
    await this.checked("the memory that the lost device had", () => {
      for (const remake of this.#live.values()) remake();
    });
  }

  #count(owner: Owner, bytes: number): void {
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? 0) + bytes);
    this.#total += bytes;
    this.#peak = Math.max(this.#peak, this.#total);
  }
}
