/** Decode: each head's part of a matrix times its own vector. See shaders/head-matvec.wgsl, head-matvec-columns.wgsl. */

import text from "../../shaders/head-matvec.wgsl?raw";
import columnsText from "../../shaders/head-matvec-columns.wgsl?raw";
import headInput from "../../shaders/lib/head-input.wgsl?raw";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type HeadRows, type HeadVectors, headMatrixBytes, headMatrixFragments, headParams } from "./head-matrix.ts";
import { folded, type KernelHost } from "./kernel.ts";

/** Quads of columns of a workgroup; `QUADS` in the shader. */
const COLUMN_QUADS = 16;

/** `x` through each head's part of `part.matrix` to `out`, which begins at float 0. @throws UsageError. */
export function headMatvec(
  host: KernelHost,
  part: HeadRows,
  x: HeadVectors,
  out: Pick<HeadVectors, "buffer" | "stride">,
): Command {
  const isRows = part.outputs === "rows";
  const { tuning } = host;
  const bound = host.bind(
    `head-matvec ${part.outputs} ${part.matrix.dtype}`,
    isRows ? text : columnsText,
    [...(isRows ? [{ text: headInput }] : []), ...headMatrixFragments(part)],
    {
      ...headParams(part),
      rows: part.numRows,
      cols: part.numCols,
      x_at: x.at,
      x_stride: x.stride,
      out_stride: out.stride,
    },
    { x: { buffer: x.buffer }, out: { buffer: out.buffer }, weights: { buffer: part.matrix.buffer } },
    isRows ? { ROWS: tuning.rows, LANES: tuning.lanes } : {},
  );
  const groups = isRows
    ? ceilDiv(part.numHeads * part.numRows, tuning.rows)
    : part.numHeads * ceilDiv(part.matrix.quadsPerRow, COLUMN_QUADS);
  return dispatch(bound, folded(groups), headMatrixBytes(part));
}
