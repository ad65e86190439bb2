/** The next token from the logits, on the GPU. See shaders/sample.wgsl. */

import text from "../../shaders/sample.wgsl?raw";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { type Command, dispatch } from "../gpu/queue.ts";
import { packFields, structFields } from "../gpu/wgsl.ts";
import { type KernelHost, REDUCE } from "./kernel.ts";

/** One draw. `temperature` 0 or `topK` 1 is greedy; `topK` 0 and `topP` 1 cut nothing. */
export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  /** 32-bit unsigned. */
  readonly seed: number;
}

const SAMPLING_FIELDS = structFields(text, "Sampling");

/** Bytes of the kernel's `sampling` uniform for the token at `position`. */
export function samplingBytes(sampling: Sampling, position: number): ArrayBuffer {
  const { temperature, topP, topK, seed } = sampling;
  return packFields(SAMPLING_FIELDS, { temperature, top_p: topP, top_k: topK, seed, position });
}

/** `logits` [vocab] to `token` [1] u32. */
export function sample(
  host: KernelHost,
  vocab: number,
  logits: LedgerBuffer,
  sampling: LedgerBuffer,
  token: LedgerBuffer,
): Command {
  const bound = host.bind(
    "sample",
    text,
    [REDUCE],
    { vocab },
    { sampling: { buffer: sampling }, logits: { buffer: logits }, token: { buffer: token } },
    { WG: 256 },
  );
  return dispatch(bound, [1, 1]);
}
