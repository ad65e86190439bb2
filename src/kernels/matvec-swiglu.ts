/** Decode, dense MLP: gate and up with their activation. See shaders/matvec-swiglu.wgsl. */

import activation from "../../shaders/lib/act-swiglu.wgsl?raw";
import text from "../../shaders/matvec-swiglu.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { folded, type KernelHost, type Matrix, matrixBytes, matrixFragments } from "./kernel.ts";

/** `x` [quads] to `out` [rows] = activate(gate x, up x). */
export function matvecSwiglu(host: KernelHost, gate: Matrix, up: Matrix, x: BufferRange, out: LedgerBuffer): Command {
  const { tuning } = host;
  const bound = host.bind(
    `matvec-swiglu ${gate.dtype} ${up.dtype}`,
    text,
    [{ text: activation }, ...matrixFragments(gate.dtype, "_0"), ...matrixFragments(up.dtype, "_1")],
    { quads: gate.quadsPerRow, rows: gate.rows },
    { x, out: { buffer: out }, weights_0: { buffer: gate.buffer }, weights_1: { buffer: up.buffer } },
    { ROWS: tuning.rows, LANES: tuning.lanes },
  );
  return dispatch(bound, folded(ceilDiv(gate.rows, tuning.rows)), matrixBytes(gate) + matrixBytes(up));
}
