/** What gate and up make together. */

import clampedSwiglu from "../../shaders/lib/act-clamped-swiglu.wgsl?raw";
import swiglu from "../../shaders/lib/act-swiglu.wgsl?raw";
import type { Fragment } from "../gpu/wgsl.ts";

export type Activation = "swiglu" | "clamped-swiglu";

/** The fragment of `activation`, and its part of a kernel's key: empty for SwiGLU, which nearly all models have. */
export function activationFragment(activation: Activation = "swiglu"): { key: string; fragment: Fragment } {
  return activation === "swiglu"
    ? { key: "", fragment: { text: swiglu } }
    : { key: " clamped", fragment: { text: clampedSwiglu } };
}
