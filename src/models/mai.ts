/**
 * MAI-Base-1 / MAI-Thinking-1: five sliding-window layers with RoPE to one global layer without positions, norms before
 * and after attention and MLP, and, in every other layer, experts that work in a latent space behind a softmax router.
 * This module maps configurations and tensor names; it computes nothing.
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { type MaiFields, maiFieldsFromGguf, maiFieldsFromHf } from "./mai-fields.ts";
import { ggufNames, hfNames } from "./mai-names.ts";
import type { AttentionSpec, DenseSpec, LayerSpec, ModelSpec, MoeSpec } from "./spec.ts";

const ARCHITECTURE = "mai";

/** The MAI family. */
export const mai: ModelFamily = {
  architecture: ARCHITECTURE,
  hfArchitectures: ["MaiForCausalLM"],
  describe,
};

function describe(checkpoint: Checkpoint): ModelDescription {
  refuseBiases(checkpoint);
  const isGguf = checkpoint.container === "gguf";
  const fields = isGguf ? maiFieldsFromGguf(checkpoint) : maiFieldsFromHf(checkpoint.config);
  checkAttention(fields, isGguf ? "GGUF metadata" : "config.json");
  return { spec: toSpec(fields), names: isGguf ? ggufNames : hfNames };
}

/** The architecture has none; a checkpoint with some is of another model, and leaving them out would pass unseen. */
function refuseBiases(checkpoint: Checkpoint): void {
  for (const name of checkpoint.tensors.keys()) {
    if (name.endsWith(".bias"))
      throw new UnsupportedError(`Tensor "${name}": biases are not supported in ${ARCHITECTURE}`);
  }
}

function checkAttention(fields: MaiFields, where: string): void {
  const { numHeads, numKvHeads, headDim } = fields;
  if (numHeads % numKvHeads !== 0) {
    throw new FormatError(
      `${where}: expected query heads to be a multiple of KV heads, got ${numHeads} and ${numKvHeads}`,
    );
  }
  if (headDim % 2 !== 0) {
    throw new FormatError(`${where}: expected an even head dimension (RoPE pairs its halves), got ${headDim}`);
  }
}

function toSpec(fields: MaiFields): ModelSpec {
  return {
    architecture: ARCHITECTURE,
    name: fields.name,
    hiddenSize: fields.hiddenSize,
    vocabSize: fields.vocabSize,
    contextLength: fields.contextLength,
    normEps: fields.normEps,
    tiedEmbeddings: fields.tiedEmbeddings,
    stopIds: fields.stopIds,
    layers: fields.isLocal.map(
      (isLocal, layer): LayerSpec => ({
        attention: attentionSpec(fields, isLocal),
        mlp: fields.isSparse[layer] ? moeSpec(fields) : denseSpec(fields),
        outputNorms: true,
      }),
    ),
  };
}

function attentionSpec(fields: MaiFields, isLocal: boolean): AttentionSpec {
  const { numHeads, numKvHeads, headDim, window, ropeTheta } = fields;
  return {
    numHeads,
    numKvHeads,
    headDim,
    window: isLocal ? window : null,
    ropeTheta: isLocal ? ropeTheta : null,
    qkNorm: true,
  };
}

function denseSpec(fields: MaiFields): DenseSpec {
  return { kind: "dense", innerSize: fields.denseInnerSize };
}

function moeSpec(fields: MaiFields): MoeSpec {
  return { kind: "moe", ...fields.moe };
}
