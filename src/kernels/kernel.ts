/**
 * What every kernel's host half shares: linking its text with fragments, a place for its `Params`, binding by name.
 * Params are written once, when a kernel is bound to its buffers; what changes from step to step is in `Step`.
 */

import bf16 from "../../shaders/lib/dtype-bf16.wgsl?raw";
import f8E4m3 from "../../shaders/lib/dtype-f8_e4m3.wgsl?raw";
import f8E4m3Row from "../../shaders/lib/dtype-f8_e4m3_row.wgsl?raw";
import f16 from "../../shaders/lib/dtype-f16.wgsl?raw";
import f32 from "../../shaders/lib/dtype-f32.wgsl?raw";
import iq4nl from "../../shaders/lib/dtype-iq4_nl.wgsl?raw";
import mxfp4 from "../../shaders/lib/dtype-mxfp4.wgsl?raw";
import q2k from "../../shaders/lib/dtype-q2_k.wgsl?raw";
import q3k from "../../shaders/lib/dtype-q3_k.wgsl?raw";
import q4_0 from "../../shaders/lib/dtype-q4_0.wgsl?raw";
import q4_1 from "../../shaders/lib/dtype-q4_1.wgsl?raw";
import q4k from "../../shaders/lib/dtype-q4_k.wgsl?raw";
import q5_0 from "../../shaders/lib/dtype-q5_0.wgsl?raw";
import q5_1 from "../../shaders/lib/dtype-q5_1.wgsl?raw";
import q5k from "../../shaders/lib/dtype-q5_k.wgsl?raw";
import q6k from "../../shaders/lib/dtype-q6_k.wgsl?raw";
import q8_0 from "../../shaders/lib/dtype-q8_0.wgsl?raw";
import fp8 from "../../shaders/lib/fp8.wgsl?raw";
import half from "../../shaders/lib/half.wgsl?raw";
import halt from "../../shaders/lib/halt.wgsl?raw";
import reduceWorkgroup from "../../shaders/lib/reduce-workgroup.wgsl?raw";
import scales from "../../shaders/lib/scales.wgsl?raw";
import wordsBuffer from "../../shaders/lib/words-buffer.wgsl?raw";
import type { DType } from "../formats/dtype.ts";
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { Bound, BufferRange } from "../gpu/pipelines.ts";
import { type Fragment, type LinkedShader, link, packFields } from "../gpu/wgsl.ts";
import { matrixLayout } from "../weights/layout.ts";
import { ParamsArena } from "./params-arena.ts";

/** A matrix on the GPU in the layout of `weights/layout.ts`, or some rows of one. */
export interface Matrix {
  readonly dtype: DType;
  readonly rows: number;
  readonly quadsPerRow: number;
  readonly buffer: LedgerBuffer;
}

/** Bytes that a matrix takes as stored, padding included. */
export function matrixBytes({ dtype, rows, quadsPerRow }: Omit<Matrix, "buffer">): number {
  return matrixLayout(dtype, rows, quadsPerRow * 4).words * 4;
}

/** Values of a kernel's override constants. */
export type Constants = Readonly<Record<string, number>>;

/** Threads per matvec row and rows per workgroup; one choice for a device, since it fixes the order of sums. */
export interface Tuning {
  readonly lanes: number;
  readonly rows: number;
}

export const REDUCE: Fragment = { text: reduceWorkgroup };

const DTYPE_TEXT: Readonly<Record<DType, string>> = {
  F32: f32,
  F16: f16,
  BF16: bf16,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2k,
  Q3_K: q3k,
  Q4_K: q4k,
  Q5_K: q5k,
  Q6_K: q6k,
  IQ4_NL: iq4nl,
  MXFP4: mxfp4,
  F8_E4M3: f8E4m3,
  F8_E4M3_ROW: f8E4m3Row,
};

/** `weight4<suffix>` for `dtype`, reading words through the function `words`, and what it calls. */
export function dtypeFragments(dtype: DType, suffix: string, words: string): Fragment[] {
  const reader = { text: DTYPE_TEXT[dtype], rename: { weight4: `weight4${suffix}`, word: words } };
  if (dtype === "F8_E4M3" || dtype === "F8_E4M3_ROW") return [reader, { text: fp8 }];
  return dtype === "F32" || dtype === "BF16" ? [reader] : [reader, { text: half }, { text: scales }];
}

/** A matrix with a buffer of its own: binding `weights<suffix>` and `weight4<suffix>`. */
export function matrixFragments(dtype: DType, suffix = ""): Fragment[] {
  const words = `word${suffix}`;
  return [
    { text: wordsBuffer, rename: { word: words, weights: `weights${suffix}` } },
    ...dtypeFragments(dtype, suffix, words),
  ];
}

/** What a kernel of a step that can be halted begins with, before any barrier. */
const HALT_PROLOGUE = "if (halt.halted != 0u) { return; }";

/** Binds kernels to buffers for one GPU; owns the buffers that hold their params. */
export class KernelHost {
  readonly tuning: Tuning;
  readonly #gpu: Gpu;
  readonly #params: ParamsArena;
  readonly #halt: LedgerBuffer | undefined;
  /** The host of kernels that always run; itself unless it is a halting one. */
  readonly plain: KernelHost;
  readonly #linked = new Map<string, LinkedShader>();

  constructor(gpu: Gpu, tuning: Tuning, halting?: { readonly plain: KernelHost; readonly halt: LedgerBuffer }) {
    this.#gpu = gpu;
    this.tuning = tuning;
    this.plain = halting?.plain ?? this;
    this.#params = halting ? halting.plain.#params : new ParamsArena(gpu);
    this.#halt = halting?.halt;
  }

  /** A host whose kernels do nothing when `halt`, [first missing MoE layer, halted] u32, says so. Params are shared. */
  halting(halt: LedgerBuffer): KernelHost {
    return new KernelHost(this.#gpu, this.tuning, { plain: this.plain, halt });
  }

  /** Links `text` with `fragments` (once per `key`), writes `params` and binds `buffers` by name. */
  bind(
    key: string,
    text: string,
    fragments: readonly Fragment[],
    params: Readonly<Record<string, number>>,
    buffers: Readonly<Record<string, BufferRange>>,
    constants: Constants = {},
  ): Bound {
    let shader = this.#linked.get(key);
    if (!shader) {
      shader = this.#halt ? link(text, [...fragments, { text: halt }], HALT_PROLOGUE) : link(text, fragments);
      this.#linked.set(key, shader);
    }
    const own = { params: this.#params.place(packFields(shader.params, params)) };
    const bound = this.#halt ? { ...buffers, ...own, halt: { buffer: this.#halt } } : { ...buffers, ...own };
    return this.#gpu.pipelines.bind(key, shader, constants, bound);
  }

  /** Forgets all params: for when everything bound so far will be bound anew. */
  reset(): void {
    this.#params.reset();
  }
}

/** A grid of `groups` workgroups that may exceed one dimension's 65,535: folded into two, the kernel unfolds it. */
export function folded(groups: number): [x: number, y: number] {
  const MAX = 65_535;
  if (groups <= MAX) return [groups, 1];
  const y = Math.ceil(groups / MAX);
  return [Math.ceil(groups / y), y];
}
