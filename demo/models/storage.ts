/**
 * What the browser's storage holds of this page's models, and how much it may hold. No DOM: what it needs of the browser is
 * handed to it.
 */
import type { CachedModel } from "../../src/index.ts";
import { Store } from "../store.ts";

export interface StorageState {
  /** The last used first. */
  readonly models: readonly CachedModel[];
  /** Bytes that the page's origin uses and may use, as the browser estimates; `null` where it does not tell. */
  readonly usage: number | null;
  readonly quota: number | null;
  /** Whether the browser keeps it all when disk runs low; `null` where it does not tell. */
  readonly persisted: boolean | null;
}

/** What is needed of runtime and browser. */
export interface StoragePlace {
  cachedModels(): Promise<CachedModel[]>;
  deleteCachedModel(id: string): Promise<void>;
  readonly storage: Partial<Pick<StorageManager, "estimate" | "persist" | "persisted">> | undefined;
}

/** `null` until it was first asked for. */
export class StorageShelf extends Store<StorageState | null> {
  readonly #place: StoragePlace;

  constructor(place: StoragePlace) {
    super(null);
    this.#place = place;
  }

  /** Asks anew. @throws what the browser throws. */
  async refresh(): Promise<void> {
    const { storage } = this.#place;
    const [models, estimate, persisted] = await Promise.all([
      this.#place.cachedModels(),
      storage?.estimate?.(),
      storage?.persisted?.(),
    ]);
    const { usage = null, quota = null } = estimate ?? {};
    this.set({ models, usage, quota, persisted: persisted ?? null });
  }

  /** @throws UsageError for a model that is in use, here or in another tab. */
  async delete(id: string): Promise<void> {
    await this.#place.deleteCachedModel(id);
    await this.refresh();
  }

  /** Asks the browser to keep the storage. @returns whether it does; it decides by rules of its own. */
  async persist(): Promise<boolean> {
    const kept = (await this.#place.storage?.persist?.()) ?? false;
    await this.refresh();
    return kept;
  }
}

/** "3 minutes ago", in the largest unit that fits. */
export function ago(then: number, now: number): string {
  if (then === 0) return "unknown";
  const units = [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
  ] as const;
  for (const [name, ms] of units) {
    const count = Math.floor((now - then) / ms);
    if (count > 0) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}
