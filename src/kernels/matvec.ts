/** Decode: up to three matrices times one vector in one dispatch. See shaders/matvec.wgsl. */

import segments1 from "../../shaders/lib/segments-1.wgsl?raw";
import segments2 from "../../shaders/lib/segments-2.wgsl?raw";
import segments3 from "../../shaders/lib/segments-3.wgsl?raw";
import text from "../../shaders/matvec.wgsl?raw";
import { UsageError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type Finish, finishParts } from "./finish.ts";
import { folded, type KernelHost, type Matrix, matrixBytes, matrixFragments } from "./kernel.ts";

/** A matrix and where its results go, in floats from the start of the output. */
export interface Segment {
  readonly matrix: Matrix;
  readonly outAt: number;
}

const SEGMENTS = [segments1, segments2, segments3];

/**
 * `x` [quads] through every segment into `out`; what else becomes of the products is `finish`.
 * @throws UsageError unless there are 1 to 3 segments of equal width.
 */
export function matvec(
  host: KernelHost,
  segments: readonly Segment[],
  x: BufferRange,
  out: LedgerBuffer,
  finish?: Finish,
): Command {
  const quads = segments[0]?.matrix.quadsPerRow;
  const select = SEGMENTS[segments.length - 1];
  if (quads === undefined || select === undefined || segments.some(({ matrix }) => matrix.quadsPerRow !== quads)) {
    throw new UsageError("matvec takes one to three matrices with rows of equal length.");
  }
  const rows = (i: number) => segments[i]?.matrix.rows ?? 0;
  const outAt = (i: number) => segments[i]?.outAt ?? 0;
  const { tuning } = host;
  const weightBytes = segments.reduce((sum, { matrix }) => sum + matrixBytes(matrix), 0);
  if (finish?.kind === "bias" && finish.biases.length !== segments.length) {
    throw new UsageError("matvec takes a bias for every matrix or none.");
  }
  const finished = finishParts(finish);
  const bound = host.bind(
    `matvec ${segments.map(({ matrix }) => matrix.dtype).join(" ")}${finished.key}`,
    text,
    [
      { text: select },
      finished.fragment,
      ...segments.flatMap(({ matrix }, i) => matrixFragments(matrix.dtype, `_${i}`)),
    ],
    {
      quads,
      rows_0: rows(0),
      rows_1: rows(1),
      rows_2: rows(2),
      out_0: outAt(0),
      out_1: outAt(1),
      out_2: outAt(2),
      ...finished.params,
    },
    {
      x,
      out: { buffer: out },
      ...Object.fromEntries(segments.map(({ matrix }, i) => [`weights_${i}`, { buffer: matrix.buffer }])),
      ...finished.buffers,
    },
    { ROWS: tuning.rows, LANES: tuning.lanes },
  );
  return dispatch(bound, folded(ceilDiv(rows(0) + rows(1) + rows(2), tuning.rows)), weightBytes);
}
