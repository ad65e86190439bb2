/**
 * The disk cache of one model: blocks of its files, hashed when stored and checked when read. Partial by design: any
 * block may be missing, and a reader then fetches it. An expert's blocks lie side by side in one stretch of the data
 * file, so that one read brings the expert. Nothing here fetches or knows what a tensor is.
 *
 * Order of durability: data, then the entries that speak of it; a stretch is used again only when the entry that gave
 * it up is durable. Whatever a crash leaves, a block that reads well has the right bytes.
 */
import { type BlockEntry, BlockIndex, type IndexEvent } from "./block-index.ts";
import type { BlockStore, StoreFile } from "./block-store.ts";
import { BlockTable, type Region } from "./block-table.ts";
import { CACHE_FORMAT, type CacheMeta, encodeMeta, type FileIdentity, parseMeta } from "./cache-meta.ts";
import { digest, sameBytes } from "./digest.ts";
import { readRuns } from "./read-runs.ts";
import { Space } from "./space.ts";
import { TwinFile } from "./twin-file.ts";

/** Entries wait for so many bytes of blocks, so long, or for `commit`: a flush costs milliseconds. A crash loses no more. */
const COMMIT_BYTES = 8 * 2 ** 20;
const COMMIT_MS = 1000;
/** An index with this many entries, most of them void, is written anew when it is opened. */
const COMPACT_ENTRIES = 4096;

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
  readonly #space: Space;
  readonly #table = new BlockTable();
  #files: FileIdentity[] = [];
  #pending: IndexEvent[] = [];
  #pendingBytes = 0;
  #committedMs: number;
  readonly #all: readonly StoreFile[];
  readonly #data: StoreFile;
  readonly #index: BlockIndex;
  readonly #meta: TwinFile;
  readonly #uses: TwinFile;

  private constructor(files: readonly StoreFile[], options: CacheOptions) {
    const [data, index0, index1, meta0, meta1, uses0, uses1] = files;
    if (!data || !index0 || !index1 || !meta0 || !meta1 || !uses0 || !uses1) throw new RangeError("seven files");
    this.#all = files;
    this.#data = data;
    this.#options = options;
    this.#committedMs = options.now();
    this.#space = new Space(options.limitBytes);
    this.#meta = new TwinFile([meta0, meta1]);
    this.#uses = new TwinFile([uses0, uses1]);
    const { index, events } = BlockIndex.open([index0, index1]);
    this.#index = index;
    for (const event of events) this.#table.apply(event);
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
    return this.#space.endBytes;
  }

  /** Experts that are here whole. */
  get storedExperts(): number {
    let count = 0;
    for (const group of this.#table.groups.keys()) count += Number(this.holds(group));
    return count;
  }

  /** Whether every block of the expert is here. */
  holds(group: number): boolean {
    return this.#table.holds(group);
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
    for (const block of this.#table.all()) if (block.file === number) this.#forgetBlock(block);
    await this.#guard(async () => {
      await this.saveMeta();
      this.#commit();
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
        this.#forgetBlock(block);
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
      const region = this.#regionFor(group, place?.bytes ?? bytes.length);
      const at = (region?.start ?? 0) + (place?.at ?? 0);
      if (!region || !this.#write(at, bytes, region)) {
        this.counts.cacheRefusals += 1;
        return;
      }
      const { start: regionStart, bytes: regionBytes } = region;
      const block: BlockEntry = { file, offset, length, group, place: at, regionStart, regionBytes, sha256 };
      this.#table.add(block);
      this.#pending.push({ kind: "block", block });
      this.#pendingBytes += length;
      this.counts.cacheWriteBytes += length;
      const late = this.#options.now() - this.#committedMs > COMMIT_MS;
      if (late || this.#pendingBytes >= COMMIT_BYTES) this.#commit();
    });
  }

  /** Makes durable what was stored so far. */
  async commit(): Promise<void> {
    await this.#guard(async () => this.#commit());
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
    this.#settleSpace();
    // Durable before another file may take the number that they name: the record of files may be an older one.
    await this.commit();
    const live = this.#table.size;
    if (this.#index.numEntries < COMPACT_ENTRIES || live * 2 > this.#index.numEntries) return;
    const events = this.#table.all().map((block): IndexEvent => ({ kind: "block", block }));
    await this.#guard(async () => this.#index.rewrite(events));
  }

  async #clear(): Promise<void> {
    this.#table.clear();
    await this.#guard(async () => {
      this.#index.rewrite([]);
      await this.saveMeta();
      this.#data.truncate(0);
    });
  }

  /** Marks the stretches in use; drops what the data file or the list of files does not reach. */
  #settleSpace(): void {
    const size = this.#data.size();
    for (const block of this.#table.all()) {
      if ((this.#files[block.file] ?? FORGOTTEN) === FORGOTTEN || block.place + block.length > size)
        this.#forgetBlock(block);
    }
    for (const { start, bytes } of this.#table.stretches()) this.#space.occupy(start, bytes);
    this.#table.leaving = [];
  }

  #find({ file, offset, length, group }: BlockKey): BlockEntry | undefined {
    const block = this.#table.find(this.#files.indexOf(file), offset, group);
    return block && block.length >= length ? block : undefined;
  }

  /** Writes, unless the browser has no room: then the file may not become larger, and experts make room from now on. */
  #write(at: number, bytes: Uint8Array<ArrayBuffer>, region: Region): boolean {
    try {
      this.#data.write(at, bytes);
      return true;
    } catch (error) {
      const full = error instanceof Error && error.name === "QuotaExceededError";
      const size = this.#data.size();
      if (!full || this.#space.limitBytes <= size) throw error;
      this.#space.limitBytes = size;
      if (region.blocks.size === 0) this.#space.give(region.start, region.bytes);
      return false;
    }
  }

  #regionFor(group: number, bytes: number): Region | undefined {
    const known = this.#table.groups.get(group);
    if (known?.bytes === bytes) return known;
    if (known) this.#forgetGroup(group);
    const start = this.#space.take(bytes) ?? this.#makeRoom(group, bytes);
    if (start === undefined) return undefined;
    return { start, bytes, blocks: new Set() };
  }

  /** Evicts experts that are worth less than `group` (0: worth more than any) until `bytes` fit. */
  #makeRoom(group: number, bytes: number): number | undefined {
    const { worth } = this.#options;
    const mine = group === 0 ? Number.POSITIVE_INFINITY : worth(group);
    const victims = [...this.#table.groups.keys()]
      .map((id) => ({ id, worth: worth(id) }))
      .sort((a, b) => a.worth - b.worth);
    for (const victim of victims) {
      if (victim.worth >= mine) return undefined;
      this.#forgetGroup(victim.id);
      this.counts.cacheEvictions += 1;
      this.#commit();
      const start = this.#space.take(bytes);
      if (start !== undefined) return start;
    }
    return undefined;
  }

  #forgetBlock(block: BlockEntry): void {
    const { file, offset, group } = block;
    if (this.#table.find(file, offset, group) !== block) return;
    this.#table.drop(block);
    this.#pending.push({ kind: "forget block", file, offset, group });
  }

  #forgetGroup(group: number): void {
    this.#table.dropGroup(group);
    this.#pending.push({ kind: "forget group", group });
  }

  #commit(): void {
    this.#committedMs = this.#options.now();
    if (this.#pending.length === 0) return;
    this.#data.flush();
    this.#index.append(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const { start, bytes } of this.#table.leaving) this.#space.give(start, bytes);
    this.#table.leaving = [];
    if (this.#data.size() > this.#space.endBytes) this.#data.truncate(this.#space.endBytes);
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
