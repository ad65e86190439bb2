/** What becomes of a matrix product before it is stored: nothing, a bias, a factor, an activation, a sum with what is there. */

import add from "../../shaders/lib/finish-add.wgsl?raw";
import addGated from "../../shaders/lib/finish-add-gated.wgsl?raw";
import bias1 from "../../shaders/lib/finish-bias-1.wgsl?raw";
import bias3 from "../../shaders/lib/finish-bias-3.wgsl?raw";
import plain from "../../shaders/lib/finish-plain.wgsl?raw";
import relu2 from "../../shaders/lib/finish-relu2.wgsl?raw";
import scaled from "../../shaders/lib/finish-scaled.wgsl?raw";
import { UsageError } from "../errors.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import type { Fragment } from "../gpu/wgsl.ts";

export type Finish =
  /** One bias [rows] for each matrix of the dispatch: one or three. */
  | { readonly kind: "bias"; readonly biases: readonly LedgerBuffer[] }
  | { readonly kind: "scale"; readonly factor: number }
  /** max(product, 0) squared. */
  | { readonly kind: "relu2" }
  /** Added to the output; times sigmoid of the token's gate, where there is one. */
  | { readonly kind: "add"; readonly gate?: Gate | undefined };

/** One number a token: float `at` of rows of `stride` floats. */
export interface Gate {
  readonly buffer: LedgerBuffer;
  readonly at: number;
  readonly stride: number;
}

export interface FinishParts {
  /** Part of the kernel's key; empty for a product that is stored as it is. */
  readonly key: string;
  readonly fragment: Fragment;
  readonly params: { readonly out_scale: number; readonly gate_at: number; readonly gate_stride: number };
  readonly buffers: Readonly<Record<string, BufferRange>>;
}

const NO_PARAMS = { out_scale: 1, gate_at: 0, gate_stride: 0 };

/** @throws UsageError for two biases or more than three. */
export function finishParts(finish: Finish | undefined): FinishParts {
  if (finish === undefined) return { key: "", fragment: { text: plain }, params: NO_PARAMS, buffers: {} };
  switch (finish.kind) {
    case "bias":
      return biasParts(finish.biases);
    case "scale": {
      const params = { ...NO_PARAMS, out_scale: finish.factor };
      return { key: " scaled", fragment: { text: scaled }, params, buffers: {} };
    }
    case "relu2":
      return { key: " relu2", fragment: { text: relu2 }, params: NO_PARAMS, buffers: {} };
    case "add": {
      const { gate } = finish;
      if (!gate) return { key: " add", fragment: { text: add }, params: NO_PARAMS, buffers: {} };
      const params = { ...NO_PARAMS, gate_at: gate.at, gate_stride: gate.stride };
      return { key: " add-gated", fragment: { text: addGated }, params, buffers: { gate: { buffer: gate.buffer } } };
    }
  }
}

function biasParts(biases: readonly LedgerBuffer[]): FinishParts {
  if (biases.length !== 1 && biases.length !== 3) throw new UsageError(`${biases.length} biases: expected 1 or 3.`);
  return {
    key: ` bias-${biases.length}`,
    fragment: { text: biases.length === 1 ? bias1 : bias3 },
    params: NO_PARAMS,
    buffers: Object.fromEntries(biases.map((buffer, i) => [`bias_${i}`, { buffer }])),
  };
}
