/** The blocks of a cache as the index has them in memory: by place in the model's files, and by expert. No file is touched. */
import type { BlockEntry, IndexEvent } from "./block-index.ts";

/** A stretch of the data file. */
export interface Stretch {
  readonly start: number;
  readonly bytes: number;
}

/** The stretch that an expert's blocks share. */
export interface Region extends Stretch {
  readonly blocks: Set<BlockEntry>;
}

export class BlockTable {
  readonly groups = new Map<number, Region>();
  /** Stretches that lost their blocks since the list was last emptied. */
  leaving: Stretch[] = [];
  readonly #blocks = new Map<string, BlockEntry>();

  get size(): number {
    return this.#blocks.size;
  }

  all(): BlockEntry[] {
    return [...this.#blocks.values()];
  }

  find(file: number, offset: number, group: number): BlockEntry | undefined {
    return this.#blocks.get(keyOf({ file, offset, group }));
  }

  /** Whether every block of the expert is here. */
  holds(group: number): boolean {
    const region = this.groups.get(group);
    if (!region) return false;
    let bytes = 0;
    for (const { length } of region.blocks) bytes += length;
    return bytes === region.bytes;
  }

  apply(event: IndexEvent): void {
    if (event.kind === "block") this.add(event.block);
    else if (event.kind === "forget group") this.dropGroup(event.group);
    else this.drop(this.find(event.file, event.offset, event.group));
  }

  /** Takes a block in, in the stead of one that began at the same place. */
  add(block: BlockEntry): void {
    this.drop(this.#blocks.get(keyOf(block)));
    this.#blocks.set(keyOf(block), block);
    if (block.group === 0) return;
    const region = this.groups.get(block.group);
    if (region) region.blocks.add(block);
    else this.groups.set(block.group, { ...stretchOf(block), blocks: new Set([block]) });
  }

  /** Forgets a block; the last one of an expert takes the expert's stretch along. */
  drop(block: BlockEntry | undefined): void {
    if (!block || !this.#blocks.delete(keyOf(block))) return;
    if (block.group === 0) this.leaving.push(stretchOf(block));
    const region = this.groups.get(block.group);
    region?.blocks.delete(block);
    if (region?.blocks.size === 0) this.dropGroup(block.group);
  }

  dropGroup(group: number): void {
    const region = this.groups.get(group);
    if (!region) return;
    this.groups.delete(group);
    for (const block of region.blocks) this.#blocks.delete(keyOf(block));
    this.leaving.push({ start: region.start, bytes: region.bytes });
  }

  clear(): void {
    this.#blocks.clear();
    this.groups.clear();
    this.leaving = [];
  }

  /** Stretches in use, by start. */
  stretches(): Stretch[] {
    return this.all()
      .map(stretchOf)
      .sort((a, b) => a.start - b.start);
  }
}

function stretchOf({ group, place, length, regionStart, regionBytes }: BlockEntry): Stretch {
  return group === 0 ? { start: place, bytes: length } : { start: regionStart, bytes: regionBytes };
}

function keyOf({ group, file, offset }: Pick<BlockEntry, "group" | "file" | "offset">): string {
  return `${group}:${file}:${offset}`;
}
