/** Running calls under numbers, since an `AbortSignal` does not cross a worker's border. */
export class CallTable {
  readonly #calls = new Map<number, AbortController>();

  /** Runs `task` with a signal that `cancel(callId)` fires. */
  async run<T>(callId: number, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#calls.set(callId, controller);
    try {
      return await task(controller.signal);
    } finally {
      this.#calls.delete(callId);
    }
  }

  cancel(callId: number): void {
    this.#calls.get(callId)?.abort();
  }

  cancelAll(): void {
    for (const call of this.#calls.values()) call.abort();
  }
}
