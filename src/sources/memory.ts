/** Bytes that are already in memory as a source. Reads are copies, because a reader owns what it gets. */
import { throwIfAborted } from "../util/abort.ts";
import type { ByteSource } from "./byte-source.ts";
import { checkRange } from "./check-range.ts";
import type { ByteOrigin, SourceHooks } from "./source-hooks.ts";

/** A source over `bytes`, which must not change afterwards. `origin` `null`: reads were counted when they arrived. */
export function memorySource(
  label: string,
  bytes: Uint8Array<ArrayBuffer> | ArrayBuffer,
  hooks: SourceHooks = {},
  origin: ByteOrigin | null = "memory",
): ByteSource {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  return {
    label,
    size: async (signal) => {
      throwIfAborted(signal);
      return view.byteLength;
    },
    read: async (offset, length, signal) => {
      throwIfAborted(signal);
      checkRange(label, view.byteLength, offset, length);
      if (origin !== null && length > 0) hooks.onBytes?.(origin, length);
      return view.slice(offset, offset + length);
    },
  };
}
