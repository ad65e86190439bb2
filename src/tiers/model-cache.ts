/**
 * The disk cache of one model: blocks of its files, hashed when stored and checked when read. Partial by design: any
 * block may be missing, and a reader then fetches it. Nothing here fetches or knows what a tensor is; where blocks lie is
 * `block-journal.ts`.
 */
import type { BlockEntry } from "./block-index.ts";
import { BlockJournal } from "./block-journal.ts";
import type { BlockStore, StoreFile } from "./block-store.ts";
import { CACHE_FORMAT, type CacheMeta, encodeMeta, type FileIdentity, parseMeta } from "./cache-meta.ts";
import { digest, sameBytes } from "./digest.ts";
import { readRuns } from "./read-runs.ts";
import { TwinFile } from "./twin-file.ts";

/** Keeps the number of a file that was forgotten. */
const FORGOTTEN: FileIdentity = { name: "", size: -1, version: "" };

/** A block of a file of the model. */
export interface BlockKey {
  readonly file: FileIdentity;
  readonly offset: number;
  readonly length: number;
  /** Expert that it is part of, from 1; 0 for none. Blocks of different groups are different blocks. */
  readonly group: number;
}

/** Where a block is in its expert: `at` of `bytes`. */
export interface GroupPlace {
  readonly bytes: number;
  readonly at: number;
}

export interface CacheCounts {
  /** Bytes of blocks that were read and found good, and blocks that were not. */
  diskBytes: number;
  corruptBlocks: number;
  /** Bytes of blocks written, and experts that made room for others. */
  cacheWriteBytes: number;
  cacheEvictions: number;
  /** Blocks that found no room. */
  cacheRefusals: number;
}

export interface CacheOptions {
  readonly label: string;
  /** Most bytes of the data file. */
  readonly limitBytes: number;
  readonly now: () => number;
  /** How much an expert is worth keeping. */
  readonly worth: (group: number) => number;
}

export class ModelCache {
  readonly counts: CacheCounts = {
    diskBytes: 0,
    corruptBlocks: 0,
    cacheWriteBytes: 0,
    cacheEvictions: 0,
    cacheRefusals: 0,
  };
  /** Why nothing is written any more; "" while it is. */
  disabled = "";
  totalExperts = 0;
  readonly #options: CacheOptions;
  readonly #journal: BlockJournal;
  #files: FileIdentity[] = [];
  readonly #all: readonly StoreFile[];
  readonly #data: StoreFile;
  readonly #meta: TwinFile;
  readonly #uses: TwinFile;

  private constructor(files: readonly StoreFile[], options: CacheOptions) {
    const [data, index0, index1, meta0, meta1, uses0, uses1] = files;
    if (!data || !index0 || !index1 || !meta0 || !meta1 || !uses0 || !uses1) throw new RangeError("seven files");
    this.#all = files;
    this.#data = data;
    this.#options = options;
    this.#meta = new TwinFile([meta0, meta1]);
    this.#uses = new TwinFile([uses0, uses1]);
    this.#journal = new BlockJournal(data, [index0, index1], options);
  }

  /** Opens what `store` holds of the model `options.label`, empty at first. @throws when the store cannot be held. */
  static async open(store: BlockStore, options: CacheOptions): Promise<ModelCache> {
    const names = ["data", "index-0", "index-1", "meta-0", "meta-1", "uses-0", "uses-1"];
    const files: StoreFile[] = [];
    try {
      for (const name of names) files.push(await store.open(name));
      const cache = new ModelCache(files, options);
      await cache.#start();
      return cache;
    } catch (error) {
      for (const file of files) file.close();
      throw error;
    }
  }

  /** Size of the data file. */
  get bytes(): number {
    return this.#journal.bytes;
  }

  /** Experts that are here whole. */
  get storedExperts(): number {
    return this.#journal.storedGroups;
  }

  /** Whether every block of the expert is here. */
  holds(group: number): boolean {
    return this.#journal.holds(group);
  }

  /** What is known of the file `name`. */
  file(name: string): FileIdentity | undefined {
    return this.#files.find((file) => file.name === name);
  }

  /** Remembers a file before its first block is stored. */
  async addFile(file: FileIdentity): Promise<void> {
    this.#files.push(file);
    await this.#guard(() => this.saveMeta());
  }

  /** Forgets a file that has changed where it comes from, with its blocks. */
  async forgetFile(file: FileIdentity): Promise<void> {
    const number = this.#files.indexOf(file);
    if (number < 0) return;
    this.#files[number] = FORGOTTEN;
    this.#journal.forgetFile(number);
    await this.#guard(async () => {
      await this.saveMeta();
      this.#journal.commit();
    });
  }

  /** How often each expert was used in earlier visits, as `saveUses` was told. */
  async loadUses(): Promise<Uint32Array<ArrayBuffer>> {
    const bytes = (await this.#unlessGone(() => this.#uses.load())) ?? new Uint8Array(0);
    return new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  }

  async saveUses(uses: Uint32Array<ArrayBuffer>): Promise<void> {
    await this.#guard(() => this.#uses.save(new Uint8Array(uses.buffer, uses.byteOffset, uses.byteLength)));
  }

  /** The blocks that are here and good, `undefined` for the others; neighbours are read at once. */
  async get(keys: readonly BlockKey[]): Promise<(Uint8Array<ArrayBuffer> | undefined)[]> {
    const found = keys.map((key) => this.#find(key));
    const read = (await this.#unlessGone(() => readRuns(this.#data, found))) ?? [];
    return Promise.all(
      keys.map(async ({ length }, i) => {
        const [block, bytes] = [found[i], read[i]];
        if (!block || !bytes) return undefined;
        if (sameBytes(block.sha256, await digest(bytes))) {
          this.counts.diskBytes += length;
          return bytes.subarray(0, length);
        }
        this.counts.corruptBlocks += 1;
        this.#journal.forgetBlock(block);
        return undefined;
      }),
    );
  }

  /** Whether the block is here, unread. */
  has(key: BlockKey): boolean {
    return this.#find(key) !== undefined;
  }

  /** Stores a block, if there is room for it or experts that are worth less. `bytes` must not change meanwhile. */
  async put(key: BlockKey, bytes: Uint8Array<ArrayBuffer>, place?: GroupPlace): Promise<void> {
    if (this.disabled !== "" || this.#find(key)) return;
    const sha256 = await digest(bytes);
    const file = this.#files.indexOf(key.file);
    if (this.disabled !== "" || file < 0 || this.#find(key)) return;
    await this.#guard(async () => {
      const { offset, length, group } = key;
      const region = this.#journal.regionFor(group, place?.bytes ?? bytes.length, () => {
        this.counts.cacheEvictions += 1;
      });
      const at = (region?.start ?? 0) + (place?.at ?? 0);
      if (!region || !this.#journal.write(at, bytes, region)) {
        this.counts.cacheRefusals += 1;
        return;
      }
      const { start: regionStart, bytes: regionBytes } = region;
      this.#journal.add({ file, offset, length, group, place: at, regionStart, regionBytes, sha256 });
      this.counts.cacheWriteBytes += length;
      this.#journal.commitIfDue();
    });
  }

  /** Makes durable what was stored so far. */
  async commit(): Promise<void> {
    await this.#guard(async () => this.#journal.commit());
  }

  /** Commits, notes the time, and lets go of the files. */
  async close(): Promise<void> {
    await this.commit();
    await this.#guard(() => this.saveMeta());
    for (const file of this.#all) await this.#unlessGone(() => file.close());
    this.disabled ||= "closed";
  }

  async saveMeta(): Promise<void> {
    const { label, now } = this.#options;
    const { storedExperts, totalExperts } = this;
    const meta: CacheMeta = {
      ...{ format: CACHE_FORMAT, label, lastUsed: now(), files: this.#files, storedExperts, totalExperts },
    };
    await this.#meta.save(encodeMeta(meta));
  }

  /** Reads the record of the model; blocks without it have no meaning. */
  async #start(): Promise<void> {
    const bytes = await this.#meta.load();
    const meta = bytes && parseMeta(bytes);
    if (!meta || meta.label !== this.#options.label) return this.#clear();
    this.#files = meta.files.map((file) => (file.name === "" ? FORGOTTEN : file));
    this.totalExperts = meta.totalExperts;
    this.#journal.settle((file) => (this.#files[file] ?? FORGOTTEN) !== FORGOTTEN);
    // Durable before another file may take the number that they name: the record of files may be an older one.
    await this.commit();
    await this.#guard(async () => this.#journal.compact());
  }

  async #clear(): Promise<void> {
    await this.#guard(async () => {
      this.#journal.clear();
      await this.saveMeta();
      this.#data.truncate(0);
    });
  }

  #find({ file, offset, length, group }: BlockKey): BlockEntry | undefined {
    const block = this.#journal.find(this.#files.indexOf(file), offset, group);
    return block && block.length >= length ? block : undefined;
  }

  /** Reads, while there is something to read from: a browser may clear a site's storage under an open page. */
  async #unlessGone<T>(read: () => T): Promise<Awaited<T> | undefined> {
    try {
      return await read();
    } catch (error) {
      this.disabled ||= reasonOf(error);
      return undefined;
    }
  }

  /** Runs what writes. When storage refuses, nothing more is written, and what is here is still read. */
  async #guard(write: () => void | Promise<void>): Promise<void> {
    if (this.disabled !== "") return;
    try {
      await write();
    } catch (error) {
      this.disabled = reasonOf(error);
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
