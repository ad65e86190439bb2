/** What configurations say of rotary angles for longer contexts, but for YaRN: `common.ts` reads that one. */
import { MAX_CONTEXT } from "./bounds.ts";
import type { Fields } from "./fields.ts";
import type { RopeScaling } from "./spec.ts";

/** Kinds that the two containers may name, YaRN and none included. */
export const HF_ROPE_KINDS = ["default", "linear", "llama3", "yarn"] as const;
export const GGUF_ROPE_KINDS = ["none", "linear", "yarn"] as const;

/**
 * The stretch of kind `kind` in the record `nested` of a `config.json`; `undefined` for the other kinds.
 * @throws FormatError for missing or senseless numbers.
 */
export function hfRopeScaling(nested: Fields, kind: string): RopeScaling | undefined {
  if (kind === "linear") return { kind: "linear", factor: nested.positive("factor") };
  if (kind !== "llama3") return undefined;
  const lowFreqFactor = nested.positive("low_freq_factor");
  const highFreqFactor = nested.positive("high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) nested.fail("high_freq_factor", `above "low_freq_factor", ${lowFreqFactor}`);
  return {
    kind: "llama3",
    factor: nested.positive("factor"),
    lowFreqFactor,
    highFreqFactor,
    originalContext: nested.int("original_max_position_embeddings", { max: MAX_CONTEXT }),
  };
}

/** The same in GGUF metadata, where files from before there were kinds have a key for the linear one only. */
export function ggufRopeScaling(fields: Fields, key: (name: string) => string): RopeScaling | undefined {
  const [kind, old] = [key("rope.scaling.type"), key("rope.scale_linear")];
  if (fields.has(kind)) {
    const isLinear = fields.text(kind) === "linear";
    return isLinear ? { kind: "linear", factor: fields.positive(key("rope.scaling.factor")) } : undefined;
  }
  if (!fields.has(old)) return undefined;
  const factor = fields.positive(old);
  return factor === 1 ? undefined : { kind: "linear", factor };
}
