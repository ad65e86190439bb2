/**
 * Which models the disk cache of this origin holds, and where: one folder a model, under one folder of the origin
 * private file system. Works on pages too, which cannot open the files as a worker does. Callers bring the root.
 */
import { UsageError } from "../errors.ts";
import { type CacheMeta, parseMeta } from "./cache-meta.ts";
import { hexDigest } from "./digest.ts";
import { newerTwin, parseTwin, type TwinRecord } from "./twin-file.ts";

const CACHE_FOLDER = "octavo";

/** One model of the disk cache. */
export interface CachedModel {
  /** What `deleteCachedModel` takes. */
  readonly id: string;
  /** Address that it was loaded from, without its query; "" when its record cannot be read. */
  readonly source: string;
  /** Last part of the address. */
  readonly name: string;
  /** Bytes on disk. */
  readonly bytes: number;
  /** Experts that are here whole, as a share of all, from 0 to 1; 0 while the model's experts are not known. */
  readonly expertShare: number;
  /** When it was last opened or closed, milliseconds since 1970; 0 when its record cannot be read. */
  readonly lastUsed: number;
}

/** The models under `root`, the last used first. */
export async function listModels(root: FileSystemDirectoryHandle): Promise<CachedModel[]> {
  const folder = await cacheFolder(root, false);
  if (!folder) return [];
  const models: Promise<CachedModel>[] = [];
  for await (const [id, handle] of folder.entries()) if (isFolder(handle)) models.push(describe(id, handle));
  return (await Promise.all(models)).sort((a, b) => b.lastUsed - a.lastUsed);
}

/** Deletes a model with all its files. @throws UsageError when there is none of that id, or a tab has it open. */
export async function removeModel(root: FileSystemDirectoryHandle, id: string): Promise<void> {
  const folder = await cacheFolder(root, false);
  try {
    if (!folder) throw new DOMException("no cache", "NotFoundError");
    await folder.removeEntry(id, { recursive: true });
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name === "NotFoundError" || name === "TypeError") {
      throw new UsageError(`No cached model has the id "${id}"; cachedModels() lists those that there are.`);
    }
    if (name !== "NoModificationAllowedError" && name !== "InvalidModificationError") throw error;
    throw new UsageError(`The cached model "${id}" is in use: dispose it, or close the tab that has it open.`);
  }
}

/** Id and folder of the model at the address `label`, made if it is not there. */
export async function modelFolder(
  root: FileSystemDirectoryHandle,
  label: string,
): Promise<{ id: string; folder: FileSystemDirectoryHandle }> {
  const id = (await hexDigest(label)).slice(0, 32);
  const parent = await root.getDirectoryHandle(CACHE_FOLDER, { create: true });
  return { id, folder: await parent.getDirectoryHandle(id, { create: true }) };
}

async function cacheFolder(
  root: FileSystemDirectoryHandle,
  create: boolean,
): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await root.getDirectoryHandle(CACHE_FOLDER, { create });
  } catch (error) {
    if (error instanceof Error && error.name === "NotFoundError") return undefined;
    throw error;
  }
}

async function describe(id: string, folder: FileSystemDirectoryHandle): Promise<CachedModel> {
  let bytes = 0;
  const twins: (TwinRecord | undefined)[] = [];
  for await (const [name, handle] of folder.entries()) {
    if (isFolder(handle)) continue;
    const file = await (handle as FileSystemFileHandle).getFile();
    bytes += file.size;
    if (name.startsWith("meta-")) twins.push(await readTwin(file));
  }
  const record = newerTwin(twins[0], twins[1]);
  return { id, bytes, ...factsOf(record && parseMeta(record.bytes)) };
}

function factsOf(meta: CacheMeta | undefined): Omit<CachedModel, "id" | "bytes"> {
  if (!meta) return { source: "", name: "", expertShare: 0, lastUsed: 0 };
  const { label, lastUsed, storedExperts, totalExperts } = meta;
  const name = label.split("/").findLast((part) => part !== "") ?? label;
  return { source: label, name, expertShare: totalExperts > 0 ? storedExperts / totalExperts : 0, lastUsed };
}

/** A record that is being replaced while it is read counts as none. */
async function readTwin(file: File): Promise<TwinRecord | undefined> {
  const bytes = await file.arrayBuffer().catch(() => new ArrayBuffer(0));
  return parseTwin(new Uint8Array(bytes));
}

function isFolder(handle: FileSystemHandle): handle is FileSystemDirectoryHandle {
  return handle.kind === "directory";
}
