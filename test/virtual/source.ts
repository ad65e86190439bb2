/** Virtual checkpoints read in process, as if through a link: for tests and benches that want no server between. */
import { SourceError } from "../../src/errors.ts";
import type { ByteSource, FileSet } from "../../src/sources/byte-source.ts";
import { checkRange } from "../../src/sources/check-range.ts";
import type { SourceHooks } from "../../src/sources/source-hooks.ts";
import { abortError, delay, throwIfAborted } from "../../src/util/abort.ts";
import type { VirtualCheckpoint } from "./checkpoint.ts";
import { corruptAt, type FaultPlan, type Mishap, mishapAt, Overtaking } from "./faults.ts";
import { LINK_PIECE_BYTES, Link, type LinkModel } from "./link.ts";
import type { RangeFile } from "./range-file.ts";

export interface SourceOptions {
  /** What every read goes through; at once without it. */
  readonly link?: LinkModel;
  /** Reads are counted from 1 over the whole file set. */
  readonly faults?: FaultPlan;
  /** Hears bytes as they arrive, as "file" bytes. */
  readonly hooks?: SourceHooks;
}

/** What the sources of one file set share. */
interface Line {
  readonly link: Link | undefined;
  readonly overtaking: Overtaking;
  readonly next: () => Mishap;
  readonly hooks: SourceHooks;
}

/** `checkpoint` as a file set. What a server would answer badly is a SourceError here, and a stalled read ends by abort. */
export function virtualFileSet({ files, entry }: VirtualCheckpoint, options: SourceOptions = {}): FileSet {
  let reads = 0;
  const { link, faults, hooks = {} } = options;
  const line: Line = {
    link: link && new Link(link),
    overtaking: new Overtaking(),
    next: () => (faults ? mishapAt(faults, ++reads) : {}),
    hooks,
  };
  return {
    label: "virtual",
    entry,
    open: async (name, signal) => {
      throwIfAborted(signal);
      const file = files.get(name);
      return file && sourceOf(name, file, line);
    },
  };
}

function sourceOf(label: string, file: RangeFile, line: Line): ByteSource {
  return {
    label,
    size: async (signal) => {
      throwIfAborted(signal);
      return file.size;
    },
    read: async (offset, length, signal) => {
      throwIfAborted(signal);
      checkRange(label, file.size, offset, length);
      if (length === 0) return new Uint8Array(0);
      const mishap = line.next();
      await line.link?.request(signal);
      if (mishap.delayMs !== undefined) await delay(mishap.delayMs, signal);
      const bytes = await arrive(label, file, offset, length, line, mishap, signal);
      if (mishap.reorder) await line.overtaking.hold();
      line.overtaking.passed();
      return bytes;
    },
  };
}

async function arrive(
  label: string,
  file: RangeFile,
  offset: number,
  length: number,
  line: Line,
  { status, stop, corrupt }: Mishap,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  if (status) throw new SourceError(`${label}: the server answered ${status.code} where 206 was expected`);
  const arriving = stop ? Math.floor(stop.share * length) : length;
  for (let at = 0; at < arriving; at += LINK_PIECE_BYTES) {
    const piece = Math.min(LINK_PIECE_BYTES, arriving - at);
    await line.link?.send(piece, signal);
    throwIfAborted(signal);
    line.hooks.onBytes?.("file", piece);
  }
  if (stop?.kind === "stall") await untilAborted(signal);
  if (stop) throw new SourceError(`${label}: the body ended after ${arriving} of ${length} bytes`);
  const bytes = file.read(offset, length);
  if (corrupt) bytes[corruptAt(corrupt, length)]! ^= corrupt.mask;
  return bytes;
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(abortError(signal)), { once: true });
  });
}
