/** Opens the disk cache of a model in the browser's storage: folder, lock against other tabs, share of the quota. */
import { listModels, modelFolder } from "../src/tiers/catalog.ts";
import { ModelCache } from "../src/tiers/model-cache.ts";
import { OpfsStore } from "../src/tiers/opfs-store.ts";

/** What a worker has of storage; absent parts are done without. */
export interface StorageAccess {
  readonly storage?: Pick<StorageManager, "getDirectory" | "estimate"> | null | undefined;
  readonly locks?: Pick<LockManager, "request"> | undefined;
}

export interface OpenedCache {
  readonly cache: ModelCache;
  close(): Promise<void>;
}

/** A page that is being reloaded lets go of its lock a moment after the new one asks. */
const LOCK_WAIT_MS = 1500;
/** Share of the browser's quota that models may take; the rest stays for the page's own data. */
const QUOTA_SHARE = 0.8;

/** The cache of the model at `label`, or why there is none. */
export async function openCache(
  { storage, locks }: StorageAccess,
  label: string,
  diskQuotaBytes: number | undefined,
  worth: (group: number) => number,
): Promise<OpenedCache | string> {
  if (!storage?.getDirectory) return "this browser or page has no origin private file system";
  let release = (): void => {};
  try {
    const root = await storage.getDirectory();
    const { id, folder } = await modelFolder(root, label);
    const lock = await holdLock(locks, `octavo:${id}`);
    if (!lock) return "another tab uses this model's cache";
    release = lock;
    const limitBytes = await roomFor(root, id, storage, diskQuotaBytes);
    const cache = await ModelCache.open(new OpfsStore(folder), { label, limitBytes, worth, now: () => Date.now() });
    return { cache, close: () => cache.close().finally(release) };
  } catch (error) {
    release();
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

/** Takes the lock `name` and gives what lets go of it; `undefined` when another tab has it. */
async function holdLock(locks: StorageAccess["locks"], name: string): Promise<(() => void) | undefined> {
  if (!locks) return () => {}; // the files' own exclusive handles then tell
  return new Promise((resolve) => {
    const hold = (): Promise<void> => new Promise((release) => resolve(release));
    locks.request(name, { signal: AbortSignal.timeout(LOCK_WAIT_MS) }, hold).catch(() => resolve(undefined));
  });
}

/** Bytes that this model's data may take beside what other models have. */
async function roomFor(
  root: FileSystemDirectoryHandle,
  id: string,
  storage: Pick<StorageManager, "estimate">,
  diskQuotaBytes: number | undefined,
): Promise<number> {
  const models = await listModels(root);
  const others = models.reduce((sum, model) => sum + (model.id === id ? 0 : model.bytes), 0);
  if (diskQuotaBytes !== undefined) return Math.max(0, diskQuotaBytes - others);
  const own = models.find((model) => model.id === id)?.bytes ?? 0;
  const { quota = 0, usage = 0 } = await storage.estimate();
  return Math.max(0, Math.floor(QUOTA_SHARE * (quota - Math.max(0, usage - own))));
}
