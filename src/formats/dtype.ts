/** Storage types of checkpoint tensors and their block geometry: elements and bytes per quantisation block. */

/** Types that store every element on its own. */
export type PlainDType = "F32" | "F16" | "BF16";

/** Types that store elements in blocks with common scales; the names are ggml's, and so is what they mean. */
export type BlockDType =
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q8_0"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "IQ4_NL"
  | "MXFP4";

/**
 * Codes of one byte (FP8 E4M3: sign, 4 bits of exponent, 3 of fraction, no infinities) whose f32 scales are a table of
 * their own: one for every tile of 128 x 128 elements, or one for every row.
 */
export type ScaledDType = "F8_E4M3" | "F8_E4M3_ROW";

/** How numbers are stored, by the names of GGUF; FP8 and MXFP4 also as folders have them, with scales of their own. */
export type DType = PlainDType | BlockDType | ScaledDType;

/** Rows and columns of an F8_E4M3 tile; the last ones of a matrix may be cut off. */
export const SCALE_TILE = 128;

/** Elements and bytes of one block of each storage type; one element where scales, if any, are stored apart. */
export const BLOCKS: Readonly<Record<DType, { readonly elements: number; readonly bytes: number }>> = {
  F32: { elements: 1, bytes: 4 },
  F16: { elements: 1, bytes: 2 },
  BF16: { elements: 1, bytes: 2 },
  // The parts of a block are listed in weights/layout.ts, their meaning in weights/dequantize.ts.
  Q4_0: { elements: 32, bytes: 18 },
  Q4_1: { elements: 32, bytes: 20 },
  Q5_0: { elements: 32, bytes: 22 },
  Q5_1: { elements: 32, bytes: 24 },
  Q8_0: { elements: 32, bytes: 34 },
  Q2_K: { elements: 256, bytes: 84 },
  Q3_K: { elements: 256, bytes: 110 },
  Q4_K: { elements: 256, bytes: 144 },
  Q5_K: { elements: 256, bytes: 176 },
  Q6_K: { elements: 256, bytes: 210 },
  IQ4_NL: { elements: 32, bytes: 18 },
  MXFP4: { elements: 32, bytes: 17 },
  F8_E4M3: { elements: 1, bytes: 1 },
  F8_E4M3_ROW: { elements: 1, bytes: 1 },
};

/** Whether `dtype` stores every element on its own. */
export function isPlain(dtype: DType): dtype is PlainDType {
  return BLOCKS[dtype].elements === 1 && !isScaled(dtype);
}

/** Whether the scales of `dtype` are a table of their own. */
export function isScaled(dtype: DType): dtype is ScaledDType {
  return dtype === "F8_E4M3" || dtype === "F8_E4M3_ROW";
}

/** Bytes that `numElements` occupy in `dtype`, scales in tables of their own left out; whole blocks. */
export function storedBytes(dtype: DType, numElements: number): number {
  const block = BLOCKS[dtype];
  return (numElements / block.elements) * block.bytes;
}
