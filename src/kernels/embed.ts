/** Token ids to embedding rows, one dispatch per shard of the matrix. See shaders/embed.wgsl. */

import text from "../../shaders/embed.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type KernelHost, type Matrix, matrixBytes, matrixFragments } from "./kernel.ts";

export interface EmbedShard extends Matrix {
  readonly rowStart: number;
}

/** `ids` [tokens] u32 to `x` [tokens, quads], times `scale`. */
export function embed(
  host: KernelHost,
  shards: readonly EmbedShard[],
  ids: LedgerBuffer,
  x: LedgerBuffer,
  scale = 1,
): (tokens: number) => Command[] {
  const bound = shards.map((shard) =>
    host.bind(
      `embed ${shard.dtype}`,
      text,
      matrixFragments(shard.dtype),
      { quads: shard.quadsPerRow, row_start: shard.rowStart, row_count: shard.rows, scale },
      { ids: { buffer: ids }, x: { buffer: x }, weights: { buffer: shard.buffer } },
    ),
  );
  const rowBytes = matrixBytes({ dtype: shards[0]?.dtype ?? "F32", rows: 1, quadsPerRow: shards[0]?.quadsPerRow ?? 0 });
  const groups = ceilDiv(shards[0]?.quadsPerRow ?? 0, 64);
  return (tokens) => bound.map((site) => dispatch(site, [groups, tokens], tokens * rowBytes));
}
