/** Gated short convolutions over a ring of the last tokens. See shaders/short-conv-*.wgsl. */

import taps from "../../shaders/lib/conv-taps.wgsl?raw";
import decodeText from "../../shaders/short-conv-decode.wgsl?raw";
import prefillText from "../../shaders/short-conv-prefill.wgsl?raw";
import writeText from "../../shaders/short-conv-write.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { ceilDiv } from "../util/math.ts";
import { type KernelHost, type Matrix, matrixBytes, matrixFragments } from "./kernel.ts";

/** Products b * x of the tokens before [capacity, channels] f32: position p in row p % capacity. */
export interface ConvRing {
  readonly buffer: LedgerBuffer;
  readonly capacity: number;
}

export interface ShortConvSite {
  /** [channels, kernel], the oldest tap first. */
  readonly taps: Matrix;
  readonly kernel: number;
  readonly ring: ConvRing;
  /** [tokens, bcxStride]: gates b, gates c and x, `channels` floats each. */
  readonly bcx: LedgerBuffer;
  readonly bcxStride: number;
  /** [tokens, outStride] */
  readonly out: LedgerBuffer;
  readonly outStride: number;
  readonly step: LedgerBuffer;
}

/** One token, and its product into the ring; the strides are not used. */
export function shortConvDecode(host: KernelHost, site: ShortConvSite): Command {
  const { taps: matrix, kernel, ring } = site;
  const bound = host.bind(
    `short-conv-decode ${matrix.dtype}`,
    decodeText,
    [{ text: taps }, ...matrixFragments(matrix.dtype)],
    { channels: matrix.rows, kernel, capacity: ring.capacity },
    {
      step: { buffer: site.step },
      bcx: { buffer: site.bcx },
      ring: { buffer: ring.buffer },
      out: { buffer: site.out },
      weights: { buffer: matrix.buffer },
    },
  );
  return dispatch(bound, [ceilDiv(matrix.rows, 64), 1], matrixBytes(matrix));
}

/** A chunk: its products into the ring, then the convolution of each token out of it. */
export function shortConvPrefill(host: KernelHost, site: ShortConvSite): ((tokens: number) => Command)[] {
  const { taps: matrix, kernel, ring, bcxStride } = site;
  const sizes = { channels: matrix.rows, capacity: ring.capacity, bcx_stride: bcxStride };
  const shared = { step: { buffer: site.step }, bcx: { buffer: site.bcx }, ring: { buffer: ring.buffer } };
  const write = host.bind("short-conv-write", writeText, [], sizes, shared);
  const convolve = host.bind(
    `short-conv-prefill ${matrix.dtype}`,
    prefillText,
    [{ text: taps }, ...matrixFragments(matrix.dtype)],
    { ...sizes, kernel, out_stride: site.outStride },
    { ...shared, out: { buffer: site.out }, weights: { buffer: matrix.buffer } },
  );
  const groups = ceilDiv(matrix.rows, 64);
  return [
    (tokens) => dispatch(write, [groups, tokens]),
    (tokens) => dispatch(convolve, [groups, tokens], tokens * matrixBytes(matrix)),
  ];
}
