/** Numbers that GGUF gives to value types and tensor storage types, with the names that people know them by. */
import type { DType } from "./dtype.ts";

/** Value types of metadata; strings and arrays are handled by the reader. */
export const STRING_TYPE = 8;
export const ARRAY_TYPE = 9;

/** Bytes of the value types of fixed size, by number. */
export const SCALAR_BYTES: ReadonlyMap<number, 1 | 2 | 4 | 8> = new Map([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 2],
  [4, 4],
  [5, 4],
  [6, 4],
  [7, 1],
  [10, 8],
  [11, 8],
  [12, 8],
]);

/** Storage types that Octavo reads, by ggml's number. */
export const DTYPES: ReadonlyMap<number, DType> = new Map([
  [0, "F32"],
  [1, "F16"],
  [2, "Q4_0"],
  [3, "Q4_1"],
  [6, "Q5_0"],
  [7, "Q5_1"],
  [8, "Q8_0"],
  [10, "Q2_K"],
  [11, "Q3_K"],
  [12, "Q4_K"],
  [13, "Q5_K"],
  [14, "Q6_K"],
  [20, "IQ4_NL"],
  [30, "BF16"],
  [39, "MXFP4"],
]);

/** Names of those that it does not, for the refusal. */
const OTHER_DTYPES: ReadonlyMap<number, string> = new Map([
  [9, "Q8_1"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
]);

/** What a message calls storage type `type`. */
export function dtypeName(type: number): string {
  return DTYPES.get(type) ?? OTHER_DTYPES.get(type) ?? `number ${type}`;
}
