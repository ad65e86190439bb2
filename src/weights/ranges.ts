/** Stored byte ranges, and reading several of them in as few reads as their adjacency allows. */
import type { ByteSource } from "../sources/byte-source.ts";

/** `length` bytes from `offset` in shard number `shard`. */
export interface ByteRange {
  readonly shard: number;
  readonly offset: number;
  readonly length: number;
}

/**
 * The bytes of every range, in order. Ranges that touch are read together, the others in parallel; what comes back may
 * be views of one buffer.
 */
export async function readRanges(
  shards: readonly ByteSource[],
  ranges: readonly ByteRange[],
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const results = ranges.map(() => new Uint8Array(0));
  await Promise.all(
    mergeTouching(ranges).map(async (group) => {
      const bytes = await readRange(shards, group.whole, signal);
      for (const index of group.members) {
        const range = ranges[index];
        if (!range) continue;
        const start = range.offset - group.whole.offset;
        results[index] = bytes.subarray(start, start + range.length);
      }
    }),
  );
  return results;
}

/** The bytes of one range. */
export function readRange(
  shards: readonly ByteSource[],
  range: ByteRange,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const shard = shards[range.shard];
  // The tensor table is built together with the list of shards.
  if (!shard) throw new RangeError(`shard ${range.shard} of ${shards.length}`);
  return shard.read(range.offset, range.length, signal);
}

interface Group {
  readonly whole: ByteRange;
  /** Indices into the list of ranges. */
  readonly members: readonly number[];
}

/** Joins ranges of one shard where one ends as the next begins, or covers it. A gap, however small, keeps them apart. */
export function mergeTouching(ranges: readonly ByteRange[]): Group[] {
  const sorted = ranges
    .map((range, index) => ({ range, index }))
    .sort(({ range: a }, { range: b }) => a.shard - b.shard || a.offset - b.offset || b.length - a.length);
  const groups: Group[] = [];
  for (const { range, index } of sorted) {
    const last = groups.at(-1);
    const end = last ? last.whole.offset + last.whole.length : 0;
    const covered = range.offset + range.length <= end;
    if (last && last.whole.shard === range.shard && (range.offset === end || covered)) {
      const whole = covered ? last.whole : { ...last.whole, length: last.whole.length + range.length };
      groups[groups.length - 1] = { whole, members: [...last.members, index] };
    } else groups.push({ whole: range, members: [index] });
  }
  return groups;
}
