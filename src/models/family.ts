/** What a model family module provides: the one seam between the registry and `mai.ts` and its later neighbours. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { LayerTensor, ModelSpec, ModelTensor } from "./spec.ts";

/** An expert's three matrices. */
export type ExpertMatrix = "gate" | "up" | "down";

/** Where an expert's matrix is stored: in a tensor of its own, or as one slice of a tensor that stacks all experts. */
export type ExpertPlace =
  | { readonly kind: "separate"; readonly name: string }
  | { readonly kind: "stacked"; readonly name: string; readonly index: number };

/** Canonical names -> the file's names, for one container. Whether a tensor exists is not its business. */
export interface TensorNames {
  model(name: ModelTensor): string;
  layer(layer: number, name: LayerTensor): string;
  expert(layer: number, expert: number, matrix: ExpertMatrix): ExpertPlace;
}

/** A model as the rest of Octavo sees it. */
export interface ModelDescription {
  readonly spec: ModelSpec;
  readonly names: TensorNames;
}

export interface ModelFamily {
  /** The family's name in `ModelSpec.architecture` and in GGUF's `general.architecture`. */
  readonly architecture: string;
  /** Entries of `architectures` in a `config.json` that mean this family. */
  readonly hfArchitectures: readonly string[];
  /**
   * The blueprint and names of a checkpoint of this family.
   * @throws FormatError for missing or nonsensical fields; UnsupportedError for options that Octavo lacks.
   */
  describe(checkpoint: Checkpoint): ModelDescription;
}
