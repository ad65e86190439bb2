/**
 * Groups the tokens of a chunk by expert, and the experts by when they run. A pair is (token, rank), numbered
 * token * topK + rank. Plain data, no GPU.
 */
import type { Use } from "../pager/layer-slots.ts";

/** Pair numbers of every chosen expert, experts and pairs ascending. */
export type GroupedTokens = ReadonlyMap<number, readonly number[]>;

/** `expertIds` [tokens, topK] in rank order. */
export function groupTokens(expertIds: ArrayLike<number>): GroupedTokens {
  const grouped = new Map<number, number[]>();
  for (let pair = 0; pair < expertIds.length; pair++) {
    const expert = expertIds[pair] ?? 0;
    const pairs = grouped.get(expert);
    if (pairs) pairs.push(pair);
    else grouped.set(expert, [pair]);
  }
  return new Map([...grouped].sort(([a], [b]) => a - b));
}

/** By expert: how many of the chunk's `tokens` chose it, and how far from the chunk's end the last of them is. */
export function usesOf(grouped: GroupedTokens, tokens: number, topK: number): Map<number, Use> {
  return new Map(
    [...grouped].map(([expert, pairs]) => {
      const last = Math.floor((pairs.at(-1) ?? 0) / topK);
      return [expert, { count: pairs.length, back: tokens - 1 - last }];
    }),
  );
}

/**
 * The chosen experts that are not resident, as sets that `slots` slots can hold one after another. As many experts as
 * there are slots, those of the chunk's last tokens, come last and leave each other room: decoding finds them.
 */
export function wavesOf(
  uses: ReadonlyMap<number, Use>,
  slots: number,
  isResident: (expert: number) => boolean,
): number[][] {
  const latest = [...uses].sort(([, a], [, b]) => a.back - b.back).map(([expert]) => expert);
  const kept = latest.slice(0, slots);
  const passing = latest.slice(slots).filter((expert) => !isResident(expert));
  const size = Math.max(Math.ceil(slots / 2), slots - kept.filter(isResident).length);
  const waves: number[][] = [];
  for (let first = 0; first < passing.length; first += size) waves.push(passing.slice(first, first + size));
  const last = kept.filter((expert) => !isResident(expert));
  return last.length > 0 ? [...waves, last] : waves;
}

/** The work list of one wave: `tiles` (slot, first, count, 0), each at most `tileSize` pairs of one expert, and `pairs`. */
export function tilesOf(
  grouped: GroupedTokens,
  wave: readonly number[],
  slotOf: (expert: number) => number,
  tileSize: number,
): { tiles: Uint32Array<ArrayBuffer>; pairs: Uint32Array<ArrayBuffer> } {
  const tiles: number[] = [];
  const pairs: number[] = [];
  for (const expert of wave) {
    const own = grouped.get(expert) ?? [];
    for (let first = 0; first < own.length; first += tileSize) {
      tiles.push(slotOf(expert), pairs.length + first, Math.min(tileSize, own.length - first), 0);
    }
    pairs.push(...own);
  }
  return { tiles: new Uint32Array(tiles), pairs: new Uint32Array(pairs) };
}
