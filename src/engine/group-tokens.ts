/** Groups the tokens of a chunk by expert. A pair is (token, rank), numbered token * topK + rank. Plain data, no GPU. */

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
