/** The smallest rung made smaller still: three MoE layers of 64 experts. */
export const TINY = {
  hidden: 128,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  dense: 128,
  latent: 64,
  inner: 96,
  experts: 64,
  topK: 8,
  vocab: 512,
  window: 16,
  context: 1024,
} as const;
