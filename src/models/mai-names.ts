/** Names of MAI tensors in Hugging Face folders and in GGUF files: the usual ones but for the norms around the MLP. */
import type { TensorNames } from "./family.ts";
import { ggufTensorNames, hfTensorNames } from "./names.ts";

/** Hugging Face names: every expert's matrices are tensors of their own. */
export const hfNames: TensorNames = hfTensorNames({
  attnOutputNorm: "post_attention_layernorm.weight",
  mlpNorm: "pre_feedforward_layernorm.weight",
  mlpOutputNorm: "post_feedforward_layernorm.weight",
  latentDown: "mlp.fc1_latent_proj.weight",
  latentUp: "mlp.fc2_latent_proj.weight",
});

/** GGUF names: a layer's experts are stacked, one tensor for each matrix. */
export const ggufNames: TensorNames = ggufTensorNames();
