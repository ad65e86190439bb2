/** A picked `File` (or any `Blob`) as a source: slices are read from disk when asked for, the rest stays there. */
import { SourceError } from "../errors.ts";
import { throwIfAborted } from "../util/abort.ts";
import type { ByteSource } from "./byte-source.ts";
import { checkRange } from "./check-range.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** A source over `blob`. A file that changed or went away since it was picked gives SourceError on read. */
export function fileSource(label: string, blob: Blob, hooks: SourceHooks = {}): ByteSource {
  return {
    label,
    ...(blob instanceof File ? { version: `${blob.lastModified} ${blob.size}` } : {}),
    size: async (signal) => {
      throwIfAborted(signal);
      return blob.size;
    },
    read: async (offset, length, signal) => {
      throwIfAborted(signal);
      checkRange(label, blob.size, offset, length);
      if (length === 0) return new Uint8Array(0);
      const bytes = await readSlice(label, blob, offset, length);
      throwIfAborted(signal);
      hooks.onBytes?.("file", length);
      return bytes;
    },
  };
}

async function readSlice(label: string, blob: Blob, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  let buffer: ArrayBuffer;
  try {
    buffer = await blob.slice(offset, offset + length).arrayBuffer();
  } catch (error) {
    throw new SourceError(
      `${label}: bytes ${offset} to ${offset + length} could not be read (${String(error)}); ` +
        "pick the file again if it was changed or moved",
      { code: "file-unreadable", details: { source: label }, cause: error },
    );
  }
  if (buffer.byteLength === length) return new Uint8Array(buffer);
  throw new SourceError(
    `${label}: ${length} bytes at ${offset} were asked for, ${buffer.byteLength} came; pick the file again`,
    { code: "file-unreadable", details: { source: label } },
  );
}
