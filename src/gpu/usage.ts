/** Buffer usage flags of the WebGPU specification by name; the `GPUBufferUsage` global is missing in some hosts. */
const COPY_SRC = 0x0004;
const COPY_DST = 0x0008;
const UNIFORM = 0x0040;
const STORAGE = 0x0080;

/** Storage that the host fills and may read back or copy. */
export const STORAGE_USAGE = STORAGE | COPY_SRC | COPY_DST;
/** Uniforms that the host fills. */
export const UNIFORM_USAGE = UNIFORM | COPY_DST;
/** A few words that one kernel writes and later ones take as uniforms. */
export const UNIFORM_STORAGE_USAGE = UNIFORM | STORAGE | COPY_SRC | COPY_DST;
