/** What went wrong, until the reader has seen it: each error with its name, its message and perhaps a way on. */
import { Store } from "./store.ts";

export interface Remedy {
  readonly label: string;
  readonly run: () => void;
}

export interface Notice {
  readonly id: number;
  readonly name: string;
  readonly message: string;
  readonly remedy: Remedy | undefined;
}

export class Notices extends Store<readonly Notice[]> {
  #nextId = 1;

  constructor() {
    super([]);
  }

  /** Shows `error`, once however often it comes; an abort is what the reader asked for and is not shown. */
  show(error: unknown, remedy?: Remedy): void {
    const { name, message } = describe(error);
    if (name === "AbortError") return;
    const others = this.value.filter((notice) => notice.name !== name || notice.message !== message);
    this.set([...others, { id: this.#nextId++, name, message, remedy }]);
  }

  dismiss(id: number): void {
    this.set(this.value.filter((notice) => notice.id !== id));
  }

  clear(): void {
    if (this.value.length > 0) this.set([]);
  }
}

function describe(error: unknown): { name: string; message: string } {
  if (error instanceof Error) return { name: error.name, message: error.message || "No message was given." };
  return { name: "Error", message: String(error) };
}
