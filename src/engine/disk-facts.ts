/** What the browser's storage has room for, and has already, of a model that is not open. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { FileSet } from "../sources/byte-source.ts";
import { listModels } from "../tiers/catalog.ts";
import { throwIfAborted } from "../util/abort.ts";
import type { DiskFacts } from "./run-answer.ts";

/** What is asked of a browser's storage. */
export type StorageFacts = Pick<StorageManager, "getDirectory" | "estimate"> &
  Partial<Pick<StorageManager, "persisted">>;

/** The disk cache leaves the rest of the quota to the page's own data. */
const QUOTA_SHARE = 0.8;

/**
 * @param label address of the model, by which the cache knows it.
 * @param headerBytes what the files hold beside tensors.
 */
export async function diskFacts(
  storage: StorageFacts | undefined,
  label: string,
  checkpoint: Checkpoint | undefined,
  headerBytes: number,
): Promise<DiskFacts> {
  let neededBytes = headerBytes;
  for (const { byteLength, scales } of checkpoint?.tensors.values() ?? []) {
    neededBytes += byteLength + (scales?.byteLength ?? 0);
  }
  const nothing = { neededBytes, availableBytes: null, persistent: false, cachedBytes: 0, cachedExpertShare: 0 };
  try {
    const root = await storage?.getDirectory();
    if (!storage || !root) return nothing;
    const cached = (await listModels(root)).find(({ source }) => source === label);
    const { quota = 0, usage = 0 } = await storage.estimate();
    return {
      neededBytes,
      availableBytes: Math.max(0, Math.floor(QUOTA_SHARE * (quota - usage))),
      persistent: (await storage.persisted?.()) ?? false,
      cachedBytes: cached?.bytes ?? 0,
      cachedExpertShare: cached?.expertShare ?? 0,
    };
  } catch {
    return nothing; // a page that may not store
  }
}

/** Bytes of the file `name`, 0 where the place does not tell: it is part of an estimate. @throws `AbortError`. */
export async function sizeOf(files: FileSet, name: string, signal: AbortSignal | undefined): Promise<number> {
  const stat = await files.stat?.(name, signal).catch(() => undefined);
  throwIfAborted(signal);
  return typeof stat === "object" ? stat.size : 0;
}
