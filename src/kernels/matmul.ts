/** Prefill: one matrix times many vectors. See shaders/matmul.wgsl. */

import tile from "../../shaders/lib/tile.wgsl?raw";
import text from "../../shaders/matmul.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type Finish, finishParts } from "./finish.ts";
import { type KernelHost, type Matrix, matrixBytes, matrixFragments } from "./kernel.ts";

/** Rows and tokens of a tile; `TILE` in shaders/lib/tile.wgsl. */
export const TILE = 32;

export interface MatmulSite {
  readonly matrix: Matrix;
  /** [tokens, xStride] quads, from quad `xAt` of each row. */
  readonly x: LedgerBuffer;
  readonly xAt: number;
  readonly xStride: number;
  /** [tokens, outStride] floats, from float `outAt` of each row. */
  readonly out: LedgerBuffer;
  readonly outAt: number;
  readonly outStride: number;
  readonly step: LedgerBuffer;
  readonly finish?: Finish | undefined;
}

export function matmul(host: KernelHost, site: MatmulSite): (tokens: number) => Command {
  const { matrix } = site;
  const finished = finishParts(site.finish);
  const bound = host.bind(
    `matmul ${matrix.dtype}${finished.key}`,
    text,
    [{ text: tile }, finished.fragment, ...matrixFragments(matrix.dtype)],
    {
      quads: matrix.quadsPerRow,
      rows: matrix.rows,
      x_at: site.xAt,
      x_stride: site.xStride,
      out_at: site.outAt,
      out_stride: site.outStride,
      ...finished.params,
    },
    {
      step: { buffer: site.step },
      x: { buffer: site.x },
      out: { buffer: site.out },
      weights: { buffer: matrix.buffer },
      ...finished.buffers,
    },
  );
  return (tokens) =>
    dispatch(bound, [ceilDiv(matrix.rows, TILE), ceilDiv(tokens, TILE)], ceilDiv(tokens, TILE) * matrixBytes(matrix));
}
