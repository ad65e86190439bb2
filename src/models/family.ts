/** What a model family module provides: the one seam between the registry and `mai.ts` and its later neighbours. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { LayerTensor, ModelSpec, ModelTensor } from "./spec.ts";

/** An expert's matrices; some have no gate. */
export type ExpertMatrix = "gate" | "up" | "down";

/** Which rows of a tensor of two matrices are the one meant: half of them, or every second. */
export type Half = "first" | "second" | "even" | "odd";

/** Where the experts of a layer keep a matrix: each in a tensor of its own, or all in one, outermost by expert. */
export type ExpertPlaces =
  | { readonly kind: "separate"; readonly nameOf: (expert: number) => string }
  | {
      readonly kind: "stacked";
      readonly name: string;
      /** The matrix is that half of every expert's rows; all of them when absent. */
      readonly half?: Half;
      /** Every expert's matrix is stored column by column: [cols, rows]. */
      readonly transposed?: boolean;
      /** The experts' biases [numExperts, rows], where the spec has some; halves as the matrix. */
      readonly biasName?: string;
    };

/** Canonical names -> the file's names, for one container. Whether a tensor exists is not its business. */
export interface TensorNames {
  model(name: ModelTensor): string;
  layer(layer: number, name: LayerTensor): string;
  /** The half of its tensor's rows that a layer's matrix is; all of them when absent or undefined. */
  half?(name: LayerTensor): Half | undefined;
  experts(layer: number, matrix: ExpertMatrix): ExpertPlaces;
  /**
   * Whether a tensor may stay unread. Without this, all may; with it, one that nothing reads and this does not name is
   * refused, since leaving it out would give another model.
   */
  ignores?(name: string): boolean;
  /** Layers that the spec leaves out because they add nothing: loading checks that. */
  readonly skipped?: readonly SkippedLayer[];
}

/** A layer of a kind that Octavo does not compute, sound only while its last projection holds nothing but zeros. */
export interface SkippedLayer {
  readonly layer: number;
  /** What it is: `Mamba-2`. */
  readonly kind: string;
  /** The file's name of its last projection [hiddenSize, any]. */
  readonly output: string;
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
