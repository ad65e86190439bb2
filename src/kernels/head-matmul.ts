/** Prefill: each head's part of a matrix times its own vectors of many tokens. See shaders/head-matmul.wgsl. */

import text from "../../shaders/head-matmul.wgsl?raw";
import headInput from "../../shaders/lib/head-input.wgsl?raw";
import stageColumns from "../../shaders/lib/stage-head-columns.wgsl?raw";
import stageRows from "../../shaders/lib/stage-head-rows.wgsl?raw";
import tile from "../../shaders/lib/tile.wgsl?raw";
import { UnsupportedError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type HeadRows, type HeadVectors, headMatrixBytes, headMatrixFragments, headParams } from "./head-matrix.ts";
import type { KernelHost } from "./kernel.ts";
import { TILE } from "./matmul.ts";

const MAX_GRID = 65_535; // workgroups of one dimension

/**
 * `x` through each head's part of `part.matrix` to `out`, whose rows begin with head 0.
 * @throws UsageError for a part that is not in the matrix; UnsupportedError for more heads than one dispatch takes.
 */
export function headMatmul(
  host: KernelHost,
  part: HeadRows,
  x: HeadVectors,
  out: Omit<HeadVectors, "at">,
  step: LedgerBuffer,
): (tokens: number) => Command {
  const isRows = part.outputs === "rows";
  const outputs = isRows ? part.numRows : part.numCols;
  const tiles = part.numHeads * ceilDiv(outputs, TILE);
  if (tiles > MAX_GRID) {
    throw new UnsupportedError(
      `${part.numHeads} heads of ${outputs} outputs: up to ${MAX_GRID} tiles of ${TILE} at once.`,
    );
  }
  const bound = host.bind(
    `head-matmul ${part.outputs} ${part.matrix.dtype}`,
    text,
    [{ text: tile }, { text: headInput }, { text: isRows ? stageRows : stageColumns }, ...headMatrixFragments(part)],
    {
      ...headParams(part),
      outputs,
      cols: isRows ? part.numCols : part.numRows,
      x_at: x.at,
      x_stride: x.stride,
      x_token_stride: x.tokenStride,
      out_stride: out.stride,
      out_token_stride: out.tokenStride,
    },
    {
      step: { buffer: step },
      x: { buffer: x.buffer },
      out: { buffer: out.buffer },
      weights: { buffer: part.matrix.buffer },
    },
  );
  return (tokens) => dispatch(bound, [tiles, ceilDiv(tokens, TILE)], ceilDiv(tokens, TILE) * headMatrixBytes(part));
}
