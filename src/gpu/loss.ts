/** Whether the device of now is gone, and whoever waits for it: each is told once, and none is remembered longer. */
import { DeviceError } from "../errors.ts";

/** A lost device fails what it was doing before it says that it is lost: within this time, in milliseconds. */
const NEWS_MS = 100;

export class Loss {
  #error: DeviceError | undefined;
  readonly #waiting = new Set<(error: DeviceError) => void>();
  #watched: GPUDevice | undefined;
  #closed = false;

  /** Why the device is gone; `undefined` while it is there. */
  get error(): DeviceError | undefined {
    return this.#error;
  }

  /** Whether it is gone because nobody wants it any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** From now on this is about `device`. */
  watch(device: GPUDevice): void {
    this.#watched = device;
    this.#error = undefined;
    void device.lost.then(({ message, reason }) => {
      if (this.#watched !== device) return;
      const why = this.#closed ? "The device was closed." : `The GPU device was lost (${message || reason}).`;
      this.#error = new DeviceError(why, { code: "device-lost" });
      for (const tell of this.#waiting) tell(this.#error);
      this.#waiting.clear();
    });
  }

  /** What comes now is no accident. */
  close(): void {
    this.#closed = true;
  }

  /** What `promise` gives, or a rejection as soon as the device is gone. */
  orGone<T>(promise: Promise<T>): Promise<T> {
    if (this.#error) {
      promise.catch(() => {}); // it fails for the same reason
      return Promise.reject(this.#error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }

  /** Whether the device is gone, asked by one whom it failed: the news may be on its way. */
  async isGone(): Promise<boolean> {
    if (!this.#error) await this.orGone(new Promise((resolve) => setTimeout(resolve, NEWS_MS))).catch(() => {});
    return this.#error !== undefined;
  }
}
