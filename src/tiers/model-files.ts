/**
 * The files of a model as the network and the disk cache have them together: what was read before comes from the cache,
 * the rest through the fetch queue, and is stored on the way. It knows no tensors; an expert is a list of ranges.
 */
import { SourceError } from "../errors.ts";
import type { ByteSource, FileSet } from "../sources/byte-source.ts";
import { checkRange } from "../sources/check-range.ts";
import { throwIfAborted } from "../util/abort.ts";
import { freeBytes } from "../util/owners.ts";
import type { FileIdentity } from "./cache-meta.ts";
import { digest, toHex } from "./digest.ts";
import type { FetchQueue } from "./fetch-queue.ts";
import type { BlockKey, GroupPlace, ModelCache } from "./model-cache.ts";
import type { ReadOptions } from "./read-expert.ts";

/** Blocks are stored, checked and fetched again one by one; a broken download loses at most one on each lane. */
export const BLOCK_BYTES = 2 ** 20;
/** Blocks asked of the cache at once, so that a large matrix is not in memory twice. */
const WINDOW_BLOCKS = 16;
/** Where a server tells neither ETag nor date, so many bytes from the start stand for the version. */
const VERSION_BYTES = 64 * 1024;
const MISSING = -1;

/** A file that is open. */
export interface ModelFile {
  /** What the cache knows it by. */
  readonly identity: FileIdentity;
  /** Reads from where the model comes from. */
  readonly origin: ByteSource;
}

/** `length` bytes of an open file. */
export interface FileRange {
  readonly file: ModelFile;
  readonly offset: number;
  readonly length: number;
}

interface Piece {
  readonly file: ModelFile;
  readonly key: BlockKey;
  readonly place: GroupPlace | undefined;
  /** Where its bytes go: number of the range, and byte in it. */
  readonly range: number;
  readonly at: number;
}

export class ModelFiles {
  /** Expert reads that took nothing from the network. */
  diskHits = 0;
  /** Files that were used without asking the server whether they are still the same, because it did not answer. */
  uncheckedFiles = 0;
  readonly #origin: FileSet;
  readonly #cache: ModelCache | undefined;
  readonly #queue: FetchQueue;
  readonly #storing = new Set<Promise<void>>();

  constructor(origin: FileSet, cache: ModelCache | undefined, queue: FetchQueue) {
    this.#origin = origin;
    this.#cache = cache;
    this.#queue = queue;
  }

  /** The file `name`, or `undefined` when the model has none. @throws SourceError; `AbortError`. */
  async open(name: string, signal?: AbortSignal): Promise<ModelFile | undefined> {
    const known = this.#cache?.file(name);
    if (known && (await this.#isSame(known, signal))) {
      return known.size === MISSING ? undefined : { identity: known, origin: this.#lazy(known) };
    }
    if (known) await this.#cache?.forgetFile(known);
    const origin = await this.#origin.open(name, signal);
    const identity = origin ? await identify(name, origin, signal) : { name, size: MISSING, version: "" };
    await this.#cache?.addFile(identity);
    return origin && { identity, origin };
  }

  /** Exactly the bytes of `range`, freshly owned by the caller. */
  async read(range: FileRange, options: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(range.file.origin.label, range.file.identity.size, range.offset, range.length);
    const { parts, letGo } = await this.#readAll([range], 0, options);
    letGo(); // of a file that is no expert's the parts are copies
    return parts[0] ?? new Uint8Array(0);
  }

  /**
   * What `use` makes of the bytes of all ranges of expert number `group`, from 1. Others may have them too: they are not to
   * be changed, and when `use` has returned they are gone.
   */
  async readGroup<T>(
    ranges: readonly FileRange[],
    group: number,
    options: ReadOptions,
    use: (parts: Uint8Array<ArrayBuffer>[]) => T,
  ): Promise<T> {
    const { parts, letGo } = await this.#readAll(ranges, group, options);
    try {
      return use(parts);
    } finally {
      letGo();
    }
  }

  /** Makes fetches of the blocks of `ranges` as urgent as demands. */
  raise(ranges: readonly FileRange[]): void {
    for (const { file, offset, length } of ranges) this.#queue.raise({ source: file.origin, offset, length });
  }

  /** Resolves when everything that was on its way to the cache is there. */
  async stored(): Promise<void> {
    await Promise.all(this.#storing);
    await this.#cache?.commit();
  }

  async #readAll(
    ranges: readonly FileRange[],
    group: number,
    options: ReadOptions,
  ): Promise<{ parts: Uint8Array<ArrayBuffer>[]; letGo: () => void }> {
    const pieces = cut(ranges, group);
    const parts: (Uint8Array<ArrayBuffer> | undefined)[] = ranges.map(() => undefined);
    const came: (() => void)[] = [];
    const put = (bytes: Uint8Array<ArrayBuffer>, { range, at }: Piece): void => {
      const length = ranges[range]?.length ?? 0;
      // An expert is packed and let go of: what came for it in one piece need not be copied first.
      if (group !== 0 && bytes.length === length) parts[range] = bytes;
      else parts[range] = filled(parts[range] ?? new Uint8Array(length), bytes, at);
    };
    const fetches: Promise<void>[] = [];
    for (let first = 0; first < pieces.length; first += WINDOW_BLOCKS) {
      if (options.signal?.aborted) break; // told below, when what is under way has ended
      const window = pieces.slice(first, first + WINDOW_BLOCKS);
      const found = await this.#cache?.get(window.map(({ key }) => key));
      window.forEach((piece, i) => {
        const bytes = found?.[i];
        if (bytes) {
          put(bytes, piece);
          came.push(() => freeBytes(bytes)); // with the blocks beside it: they came in one read
        } else {
          fetches.push(
            this.#fetch(piece, options).then(({ bytes: fetched, letGo }) => {
              put(fetched, piece);
              came.push(letGo);
            }),
          );
        }
      });
      for (const fetching of fetches) fetching.catch(() => {}); // `allEnded` tells, but it may fail before that listens
    }
    if (fetches.length === 0 && group !== 0 && this.#cache) this.diskHits += 1;
    await allEnded(fetches);
    throwIfAborted(options.signal);
    const letGo = (): void => {
      for (const goes of came) goes();
    };
    return { parts: parts.map((bytes) => bytes ?? new Uint8Array(0)), letGo };
  }

  /** Whoever waits for an expert does not wait for its storing too. Other readers do, so that what is unstored stays little. */
  async #fetch(
    { file, key, place }: Piece,
    options: ReadOptions,
  ): Promise<{ bytes: Uint8Array<ArrayBuffer>; letGo: () => void }> {
    const { offset, length, group } = key;
    const bytes = await this.#queue.fetch({ source: file.origin, offset, length }, options);
    const done = (): void => this.#queue.done(bytes);
    const storing = this.#cache?.put(key, bytes, place);
    if (!storing) return { bytes, letGo: done };
    this.#storing.add(storing);
    const stored = storing.finally(() => this.#storing.delete(storing));
    if (group === 0 || options.priority === "background") await stored;
    return { bytes, letGo: () => void stored.then(done, () => {}) };
  }

  /** Whether the server still has the file that the cache knows. Without an answer it is taken to be so. */
  async #isSame(known: FileIdentity, signal: AbortSignal | undefined): Promise<boolean> {
    const { stat } = this.#origin;
    if (!stat) return this.#isSameInside(known, signal);
    const found = await stat(known.name, signal).catch((error: unknown) => {
      if (!(error instanceof SourceError)) throw error;
      this.uncheckedFiles += 1;
      return "no answer" as const;
    });
    if (found === "no answer" || found === "immutable") return true;
    if (!found || known.size === MISSING) return !found && known.size === MISSING;
    if (found.size !== known.size) return false;
    return found.version === undefined ? this.#isSameInside(known, signal) : found.version === known.version;
  }

  async #isSameInside(known: FileIdentity, signal: AbortSignal | undefined): Promise<boolean> {
    const origin = await this.#origin.open(known.name, signal);
    if (!origin || known.size === MISSING) return !origin && known.size === MISSING;
    const { size, version } = await identify(known.name, origin, signal);
    return size === known.size && version === known.version;
  }

  /** Opens the origin when a byte is missing from the cache, and holds it to what the cache knows. */
  #lazy(known: FileIdentity): ByteSource {
    const label = `${this.#origin.label} ${known.name}`;
    let opened: Promise<ByteSource> | undefined;
    const open = async (): Promise<ByteSource> => {
      const origin = await this.#origin.open(known.name);
      const now = origin && (await identify(known.name, origin, undefined));
      if (origin && now?.size === known.size && now.version === known.version) return origin;
      await this.#cache?.forgetFile(known);
      throw new SourceError(
        `${label}: the file is no longer the one that was kept in the cache; load the model again`,
        {
          code: "file-changed",
          details: { source: label },
        },
      );
    };
    return {
      label,
      size: async () => known.size,
      read: async (offset, length, signal) => {
        opened ??= open().catch((error: unknown) => {
          opened = undefined; // the next read tries again
          throw error;
        });
        return (await opened).read(offset, length, signal);
      },
    };
  }
}

async function identify(name: string, origin: ByteSource, signal: AbortSignal | undefined): Promise<FileIdentity> {
  const size = await origin.size(signal);
  const version = origin.version ?? toHex(await digest(await origin.read(0, Math.min(size, VERSION_BYTES), signal)));
  return { name, size, version };
}

/**
 * The blocks of all ranges; those of an expert lie one after another. A range named twice is stored once: two matrices
 * of an expert may be interleaved in it.
 */
function cut(ranges: readonly FileRange[], group: number): Piece[] {
  const starts = new Map<string, number>();
  let bytes = 0;
  for (const range of ranges) {
    if (starts.has(keyOf(range))) continue;
    starts.set(keyOf(range), bytes);
    bytes += range.length;
  }
  return ranges.flatMap((range, i) => {
    const { file, offset, length } = range;
    const start = starts.get(keyOf(range)) ?? 0;
    const pieces: Piece[] = [];
    for (let at = 0; at < length; at += BLOCK_BYTES) {
      const blockBytes = Math.min(BLOCK_BYTES, length - at);
      pieces.push({
        file,
        key: { file: file.identity, offset: offset + at, length: blockBytes, group },
        place: group === 0 ? undefined : { at: start + at, bytes },
        range: i,
        at,
      });
    }
    return pieces;
  });
}

function keyOf({ file, offset, length }: FileRange): string {
  return `${file.identity.name}:${offset}:${length}`;
}

/** `target` with `bytes` in it from `at` on. */
function filled(target: Uint8Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
  target.set(bytes, at);
  return target;
}

/** As `Promise.all`, but a failure is told only when all have ended. */
async function allEnded(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
