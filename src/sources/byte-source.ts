/**
 * Where checkpoint bytes come from: the one interface that readers see. A reader never fetches; a source never
 * interprets. One file per kind of source beside this one.
 */
export interface ByteSource {
  /** What a message calls this source: the URL, the file's name. */
  readonly label: string;

  /**
   * What tells this version of the file from another: a content hash, an ETag, a date, with the size. Equal strings of one
   * address mean equal bytes, as far as the place says; absent where it says nothing.
   */
  readonly version?: string;

  /**
   * Total length in bytes.
   * @throws SourceError when it cannot be learnt.
   */
  size(signal?: AbortSignal): Promise<number>;

  /**
   * Exactly `length` bytes from `offset`, freshly owned by the caller. `length` 0 gives an empty array without a read.
   * @throws SourceError when the bytes do not exist or do not arrive; `AbortError` when `signal` fires.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/** What a folder tells of a file without reading it. */
export interface FileStat {
  readonly size: number;
  readonly version: string | undefined;
}

/** A folder of named files: a URL prefix, a set of picked files, or memory. */
export interface FileSet {
  /** What a message calls this folder. */
  readonly label: string;

  /** The file `name`, or `undefined` when the folder does not have it. @throws SourceError when that cannot be learnt. */
  open(name: string, signal?: AbortSignal): Promise<ByteSource | undefined>;

  /**
   * Size and version of the file `name` without its bytes: `undefined` when there is none, "immutable" when its address
   * says that it never changes. Absent where opening costs nothing. @throws SourceError, without a second try.
   */
  stat?(name: string, signal?: AbortSignal): Promise<FileStat | "immutable" | undefined>;

  /** Name of the file the user pointed at (`model.gguf`), or `undefined` when they pointed at a folder. */
  readonly entry: string | undefined;
}
