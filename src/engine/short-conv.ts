/** The block of a gated short convolution, in both phases: project to b, c and x, convolve, project back. */
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Command } from "../gpu/queue.ts";
import { matmul } from "../kernels/matmul.ts";
import { matvec } from "../kernels/matvec.ts";
import { type ShortConvSite, shortConvDecode, shortConvPrefill } from "../kernels/short-conv.ts";
import type { KvCache } from "./kv-cache.ts";
import { layerMatrix, layerSpec, type Parts } from "./parts.ts";

/** One token: the normed input `h` [D] to `y` [D]. */
export function shortConvBlock(parts: Parts, layer: number, kv: KvCache, h: BufferRange): Command[] {
  const { host, scratch } = parts;
  const { qkv, attention, y } = scratch.buffers;
  const [convIn, convOut] = [layerMatrix(parts, layer, "convIn"), layerMatrix(parts, layer, "convOut")];
  return [
    matvec(host, [{ matrix: convIn, outAt: 0 }], h, qkv), // b, c, x [3 D]
    shortConvDecode(host, convSite(parts, layer, kv)), // [D]
    matvec(host, [{ matrix: convOut, outAt: 0 }], { buffer: attention }, y), // y [D]
  ];
}

/** A chunk: `h` [T, D] to `y` [T, D]. */
export function shortConvPrefillBlock(parts: Parts, layer: number, kv: KvCache): ((tokens: number) => Command)[] {
  const { host, scratch, sizes } = parts;
  const { h, qkv, attention, y } = scratch.buffers;
  const shared = { xAt: 0, outAt: 0, step: scratch.step };
  const input = { matrix: layerMatrix(parts, layer, "convIn"), x: h, xStride: sizes.hidden / 4 };
  const output = { matrix: layerMatrix(parts, layer, "convOut"), x: attention, xStride: sizes.attention / 4 };
  return [
    matmul(host, { ...shared, ...input, out: qkv, outStride: sizes.qkv }), // b, c, x [T, 3 D]
    ...shortConvPrefill(host, convSite(parts, layer, kv)), // [T, D]
    matmul(host, { ...shared, ...output, out: y, outStride: sizes.hidden }), // y [T, D]
  ];
}

function convSite(parts: Parts, layer: number, kv: KvCache): ShortConvSite {
  const { conv } = layerSpec(parts.spec, layer);
  const ring = kv.convs[layer];
  if (!conv || !ring) throw new RangeError(`layer ${layer} has no short convolution`);
  const { qkv, attention } = parts.scratch.buffers;
  return {
    taps: layerMatrix(parts, layer, "conv"),
    kernel: conv.kernel,
    ring,
    bcx: qkv,
    bcxStride: parts.sizes.qkv,
    out: attention,
    outStride: parts.sizes.attention,
    step: parts.scratch.step,
  };
}
