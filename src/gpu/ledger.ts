/**
 * Who owns how many bytes of GPU buffers. Every buffer of the runtime is made and destroyed here, so that the budget is
 * a count and not an estimate, and a test can see that nothing was left behind.
 */
import { DeviceError } from "../errors.ts";

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
  readonly #device: GPUDevice;
  readonly #byOwner = new Map<Owner, number>();
  readonly #live = new Set<LedgerBuffer>();
  #total = 0;
  #peak = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A zeroed buffer of `bytes` (rounded up to 16) on `owner`'s account. Memory refusals surface in `checked`. */
  create(owner: Owner, label: string, bytes: number, usage: GPUBufferUsageFlags): LedgerBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const limit = this.#device.limits.maxBufferSize;
    if (size > limit)
      throw new DeviceError(`Buffer "${label}" needs ${size} bytes; this device allows ${limit}.`, {
        code: "out-of-memory",
      });
    const buffer = this.#device.createBuffer({ label, size, usage });
    const entry: LedgerBuffer = {
      buffer,
      label,
      bytes: size,
      destroy: () => {
        if (!this.#live.delete(entry)) return;
        buffer.destroy();
        this.#count(owner, -size);
      },
    };
    this.#live.add(entry);
    this.#count(owner, size);
    return entry;
  }

  /**
   * Runs `make`, which creates buffers, and turns the device's refusal of memory into a DeviceError. When it throws, the
   * buffers of `make` are gone again.
   */
  async checked<T>(what: string, make: () => T): Promise<T> {
    const before = new Set(this.#live);
    const added = () => [...this.#live].filter((entry) => !before.has(entry));
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
    const errors = await scopes();
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
    for (const entry of [...this.#live]) entry.destroy();
  }

  #count(owner: Owner, bytes: number): void {
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? 0) + bytes);
    this.#total += bytes;
    this.#peak = Math.max(this.#peak, this.#total);
  }
}
