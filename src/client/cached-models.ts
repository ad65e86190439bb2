/**
 * The disk cache as a page sees it: what is in it, and how to be rid of it. No model needs to be loaded. What reads the
 * catalogue is loaded on the first call, so that a page's entry is not larger.
 */
import { UsageError } from "../errors.ts";
import type { CachedModel } from "../tiers/catalog.ts";

/**
 * The models in the browser's storage of this page's origin, the last used first; none where the page may not store.
 * Each says its size on disk in bytes and the share of its experts that is there.
 */
export async function cachedModels(): Promise<CachedModel[]> {
  const root = await storageRoot();
  return root ? (await catalog()).listModels(root) : [];
}

/**
 * Deletes a model of `cachedModels` from the browser's storage.
 * @throws UsageError when there is none of that id, or a tab has it open.
 */
export async function deleteCachedModel(id: string): Promise<void> {
  const root = await storageRoot();
  if (!root) throw new UsageError("This page has no storage, so no model is cached.");
  await (await catalog()).removeModel(root, id);
}

/** Asks the browser to keep the storage when disk runs low: once, before the first model is stored. */
export async function askToPersist(): Promise<void> {
  const root = await storageRoot();
  if (!root || (await (await catalog()).listModels(root)).length > 0) return;
  await navigator.storage.persist?.();
}

const catalog = () => import("../tiers/catalog.ts");

/** The origin private file system; `undefined` outside secure contexts, and where a browser refuses it. */
async function storageRoot(): Promise<FileSystemDirectoryHandle | undefined> {
  const storage = globalThis.navigator?.storage as Partial<StorageManager> | undefined;
  return storage?.getDirectory?.().catch(() => undefined);
}
