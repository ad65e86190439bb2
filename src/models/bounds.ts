/** The largest sizes that a configuration may claim: several times what the largest published models have. */

// Room enough, and products of two stay safe integers.
export const MAX_LAYERS = 1024;
export const MAX_WIDTH = 1 << 20;
export const MAX_VOCAB = 1 << 24;
export const MAX_HEADS = 4096;
export const MAX_HEAD_DIM = 4096;
export const MAX_EXPERTS = 1 << 12;
export const MAX_CONTEXT = 1 << 30;
/** What one workgroup of the router ranks. */
export const MAX_TOP_K = 64;
export const MAX_EXPERT_GROUPS = 64;
/** Elements of a latent: quads for the threads of the largest workgroup that every device runs. */
export const MAX_LATENT = 1024;
