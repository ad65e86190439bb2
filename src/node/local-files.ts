/**
 * A file or a folder on this machine as a file set. `fs.openAsBlob` would do, but in Node 20 it takes a file's size
 * modulo 4 GiB, and checkpoints are larger.
 */
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SourceError, UsageError } from "../errors.ts";
import type { ByteSource, FileSet } from "../sources/byte-source.ts";
import { checkRange } from "../sources/check-range.ts";
import { isGgufName, isSafeFileName } from "../sources/file-name.ts";
import { entryOf } from "../sources/file-set.ts";
import type { SourceHooks } from "../sources/source-hooks.ts";

/**
 * The file set at `path`: a `.gguf` file with its neighbours, or a folder, of which a GGUF file in it is the entry.
 * @throws SourceError when there is nothing; UsageError for any other file, or a folder of several GGUF models.
 */
export async function localFileSet(path: string, hooks: SourceHooks): Promise<FileSet> {
  const facts = await stat(path).catch((error) => fail(path, error));
  if (!facts.isDirectory() && !isGgufName(path)) {
    throw new UsageError(`${path}: expected a .gguf file, or a folder with config.json and safetensors files`);
  }
  const folder = facts.isDirectory() ? path : dirname(path);
  return {
    label: path,
    entry: facts.isDirectory() ? entryOf(await readdir(path)) : basename(path),
    open: async (name) => {
      if (!isSafeFileName(name)) throw new UsageError(`"${name}" is no file name inside the model's folder`);
      return openLocal(join(folder, name), hooks);
    },
  };
}

async function openLocal(path: string, hooks: SourceHooks): Promise<ByteSource | undefined> {
  const facts = await stat(path).catch((error) => (isMissing(error) ? undefined : fail(path, error)));
  if (!facts?.isFile()) return undefined;
  return {
    label: path,
    size: async () => facts.size,
    read: async (offset, length) => {
      checkRange(path, facts.size, offset, length);
      const bytes = await readRange(path, offset, length).catch((error) => fail(path, error));
      hooks.onBytes?.("file", length);
      return bytes;
    },
  };
}

/** Opens the file for every read: there are few, and nothing is left to close. */
async function readRange(path: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const file = await open(path);
  try {
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) throw new Error(`the file ends at byte ${offset + filled}`);
      filled += bytesRead;
    }
  } finally {
    await file.close();
  }
  return bytes;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function fail(path: string, error: unknown): never {
  if (isMissing(error)) throw new SourceError(`${path}: no such file or folder`);
  throw new SourceError(`${path}: could not be read (${error instanceof Error ? error.message : String(error)})`);
}
