/** Random choices of experts by many tokens, and the work lists that the prefill kernels take. */
import { groupTokens, tilesOf } from "../../../src/engine/group-tokens.ts";
import { TILE } from "../../../src/kernels/matmul.ts";
import { type RandomExperts, shuffled } from "./experts-fixture.ts";
import type { Bench } from "./harness.ts";

/** `tokens` choices of `topK` resident experts each, [tokens, topK]; the first expert is a favourite. */
export function randomChoices(bench: Bench, { resident }: RandomExperts, tokens: number, topK: number): number[] {
  return Array.from({ length: tokens }, () => {
    const order = shuffled(bench.random.int, resident.length).slice(0, topK);
    if (bench.random.int(0, 1) === 1 && !order.includes(0)) order[0] = 0;
    return order.map((i) => resident[i]!);
  }).flat();
}

/** Buffers of the work list of `wave`, which need not be all the experts chosen. */
export function tileBuffers(bench: Bench, experts: RandomExperts, choices: readonly number[], wave: readonly number[]) {
  const { tiles, pairs } = tilesOf(groupTokens(choices), wave, (expert) => experts.slots[expert]!, TILE);
  return { tiles: bench.words(tiles), pairs: bench.words(pairs), numTiles: tiles.length / 4 };
}
