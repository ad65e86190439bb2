/** What the kernels of latent attention share: the shape of a cached row, and the rotation of its last part. */

import ropeHalf from "../../shaders/lib/rope-half.wgsl?raw";
import ropeInterleaved from "../../shaders/lib/rope-interleaved.wgsl?raw";
import { UnsupportedError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Fragment } from "../gpu/wgsl.ts";
import { ceilDiv } from "../util/math.ts";

export interface Latents {
  /** Elements of a latent, and of the rotated part of a key that all heads share. */
  readonly rank: number;
  readonly ropeDims: number;
  /** (cos, sin) of every token of the step [tokens, ropeDims / 2]. */
  readonly rope: LedgerBuffer;
  /** Elements 2j and 2j + 1 turn together, not j and j + ropeDims / 2. */
  readonly interleaved: boolean;
  /** Rows of latents, each normed, and shared parts [capacity, keyQuads] quads; position p in row p % capacity. */
  readonly cache: LedgerBuffer;
  readonly capacity: number;
}

/** Widest latent: a quad for each thread of the largest workgroup that every device runs. */
export const MAX_RANK = 1024;

/** Params that both kernels have. @throws UnsupportedError for latents that are too wide. */
export function latentParams({ rank, ropeDims, capacity }: Latents): {
  rank: number;
  rope_dims: number;
  key_quads: number;
  capacity: number;
} {
  if (rank > MAX_RANK || rank + ropeDims > 2 * MAX_RANK) {
    throw new UnsupportedError(`Latents of ${rank} and ${ropeDims} elements: up to ${MAX_RANK} each are supported.`);
  }
  return { rank, rope_dims: ropeDims, key_quads: ceilDiv(rank + ropeDims, 4), capacity };
}

/** The fragment that turns pairs, and a name for the choice. */
export function latentRotation({ interleaved }: Latents): { key: string; fragment: Fragment } {
  return interleaved
    ? { key: "neighbours", fragment: { text: ropeInterleaved } }
    : { key: "halves", fragment: { text: ropeHalf } };
}
