/** A model's files in the origin private file system, by the synchronous handles that dedicated workers have. */
import { delay } from "../util/abort.ts";
import type { BlockStore, StoreFile } from "./block-store.ts";

/** What `createSyncAccessHandle` gives; TypeScript's page library does not have it. */
interface SyncAccessHandle {
  getSize(): number;
  read(target: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle?: () => Promise<SyncAccessHandle> };

/** A page that is being left, or was a moment ago, still holds its files: waits before another try, in milliseconds. */
const HELD_DELAYS_MS = [50, 150, 300, 500];

export class OpfsStore implements BlockStore {
  readonly #folder: FileSystemDirectoryHandle;

  constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  async open(name: string): Promise<StoreFile> {
    const file: SyncFileHandle = await this.#folder.getFileHandle(name, { create: true });
    for (let tries = 0; ; tries++) {
      try {
        if (!file.createSyncAccessHandle) throw new DOMException("no synchronous file access", "NotSupportedError");
        return storeFile(await file.createSyncAccessHandle());
      } catch (error) {
        const held = error instanceof Error && error.name === "NoModificationAllowedError";
        const waitMs = HELD_DELAYS_MS[tries];
        if (!held || waitMs === undefined) throw error;
        await delay(waitMs);
      }
    }
  }
}

function storeFile(handle: SyncAccessHandle): StoreFile {
  return {
    size: () => handle.getSize(),
    read: (offset, target) => handle.read(target, { at: offset }),
    write: (offset, bytes) => {
      const written = handle.write(bytes, { at: offset });
      // Browsers differ in how they say that the quota is used up.
      if (written < bytes.length) throw new DOMException("the storage is full", "QuotaExceededError");
    },
    truncate: (size) => handle.truncate(size),
    flush: () => handle.flush(),
    close: () => handle.close(),
  };
}
