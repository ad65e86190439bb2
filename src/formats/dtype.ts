/** Storage types of checkpoint tensors and their block geometry: elements and bytes per quantisation block. */
export type DType = "F32" | "F16" | "BF16" | "Q8_0";

/** Elements and bytes of one block of each storage type; plain types are blocks of one element. */
export const BLOCKS: Readonly<Record<DType, { readonly elements: number; readonly bytes: number }>> = {
  F32: { elements: 1, bytes: 4 },
  F16: { elements: 1, bytes: 2 },
  BF16: { elements: 1, bytes: 2 },
  // 16-bit float scale, then 32 signed bytes: element i = scale * q[i] (ggml's block_q8_0).
  Q8_0: { elements: 32, bytes: 34 },
};

/** Bytes that `numElements` occupy in `dtype`; `numElements` must be whole blocks. */
export function storedBytes(dtype: DType, numElements: number): number {
  const block = BLOCKS[dtype];
  return (numElements / block.elements) * block.bytes;
}
