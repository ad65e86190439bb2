/**
 * Where the blocks of one model lie in its data file, and what is known of that on disk. An expert's blocks lie side by side
 * in one stretch, so that one read brings the expert.
 *
 * Order of durability: data, then the entries that speak of it; a stretch is used again only when the entry that gave
 * it up is durable. Whatever a crash leaves, a block that reads well has the right bytes.
 */
import { type BlockEntry, BlockIndex, type IndexEvent } from "./block-index.ts";
import type { StoreFile } from "./block-store.ts";
import { BlockTable, type Region } from "./block-table.ts";
import { Space } from "./space.ts";

/** Entries wait for so many bytes of blocks, so long, or for `commit`: a flush costs milliseconds. A crash loses no more. */
const COMMIT_BYTES = 8 * 2 ** 20;
const COMMIT_MS = 1000;
/** An index with this many entries, most of them void, is written anew when it is opened. */
const COMPACT_ENTRIES = 4096;

export interface JournalOptions {
  /** Most bytes of the data file. */
  readonly limitBytes: number;
  readonly now: () => number;
  /** How much an expert is worth keeping. */
  readonly worth: (group: number) => number;
}

export class BlockJournal {
  readonly #options: JournalOptions;
  readonly #data: StoreFile;
  readonly #index: BlockIndex;
  readonly #space: Space;
  readonly #table = new BlockTable();
  #pending: IndexEvent[] = [];
  #pendingBytes = 0;
  #committedMs: number;

  constructor(data: StoreFile, indexes: [StoreFile, StoreFile], options: JournalOptions) {
    this.#options = options;
    this.#data = data;
    this.#committedMs = options.now();
    this.#space = new Space(options.limitBytes);
    const { index, events } = BlockIndex.open(indexes);
    this.#index = index;
    for (const event of events) this.#table.apply(event);
  }

  /** Size of the data file. */
  get bytes(): number {
    return this.#space.endBytes;
  }

  /** Groups every block of which is here. */
  get storedGroups(): number {
    let count = 0;
    for (const group of this.#table.groups.keys()) count += Number(this.holds(group));
    return count;
  }

  /** Whether every block of the group is here. */
  holds(group: number): boolean {
    return this.#table.holds(group);
  }

  find(file: number, offset: number, group: number): BlockEntry | undefined {
    return this.#table.find(file, offset, group);
  }

  /** Marks the stretches in use; drops what the data file does not reach, and blocks of files that are not known. */
  settle(isKnown: (file: number) => boolean): void {
    const size = this.#data.size();
    for (const block of this.#table.all()) {
      if (!isKnown(block.file) || block.place + block.length > size) this.forgetBlock(block);
    }
    for (const { start, bytes } of this.#table.stretches()) this.#space.occupy(start, bytes);
    this.#table.leaving = [];
  }

  /** Writes the index anew where most of it is void. */
  compact(): void {
    if (this.#index.numEntries < COMPACT_ENTRIES || this.#table.size * 2 > this.#index.numEntries) return;
    this.#index.rewrite(this.#table.all().map((block): IndexEvent => ({ kind: "block", block })));
  }

  /** Forgets everything. */
  clear(): void {
    this.#table.clear();
    this.#index.rewrite([]);
  }

  /**
   * A stretch of `bytes` for `group` (0: worth more than any): its own, a free one, or one that groups of less worth made
   * room for. `undefined` when there is none.
   * @param evicted hears of every group that went.
   */
  regionFor(group: number, bytes: number, evicted: () => void): Region | undefined {
    const known = this.#table.groups.get(group);
    if (known?.bytes === bytes) return known;
    if (known) this.#forgetGroup(group);
    const start = this.#space.take(bytes) ?? this.#makeRoom(group, bytes, evicted);
    if (start === undefined) return undefined;
    return { start, bytes, blocks: new Set() };
  }

  /** Writes, unless the browser has no room: then the file may not become larger, and experts make room from now on. */
  write(at: number, bytes: Uint8Array<ArrayBuffer>, region: Region): boolean {
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

  /** Notes a block that was written. */
  add(block: BlockEntry): void {
    this.#table.add(block);
    this.#pending.push({ kind: "block", block });
    this.#pendingBytes += block.length;
  }

  forgetBlock(block: BlockEntry): void {
    const { file, offset, group } = block;
    if (this.#table.find(file, offset, group) !== block) return;
    this.#table.drop(block);
    this.#pending.push({ kind: "forget block", file, offset, group });
  }

  forgetFile(file: number): void {
    for (const block of this.#table.all()) if (block.file === file) this.forgetBlock(block);
  }

  /** Commits where much or old is waiting for it. */
  commitIfDue(): void {
    const late = this.#options.now() - this.#committedMs > COMMIT_MS;
    if (late || this.#pendingBytes >= COMMIT_BYTES) this.commit();
  }

  /** Makes durable what was noted so far. */
  commit(): void {
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

  /** Evicts groups that are worth less than `group` until `bytes` fit. */
  #makeRoom(group: number, bytes: number, evicted: () => void): number | undefined {
    const { worth } = this.#options;
    const mine = group === 0 ? Number.POSITIVE_INFINITY : worth(group);
    const victims = [...this.#table.groups.keys()]
      .map((id) => ({ id, worth: worth(id) }))
      .sort((a, b) => a.worth - b.worth);
    for (const victim of victims) {
      if (victim.worth >= mine) return undefined;
      this.#forgetGroup(victim.id);
      evicted();
      this.commit();
      const start = this.#space.take(bytes);
      if (start !== undefined) return start;
    }
    return undefined;
  }

  #forgetGroup(group: number): void {
    this.#table.dropGroup(group);
    this.#pending.push({ kind: "forget group", group });
  }
}
