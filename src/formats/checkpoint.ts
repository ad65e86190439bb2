/** A checkpoint as plain data: its configuration and a table of where every tensor's bytes are. */
import type { ByteSource } from "../sources/byte-source.ts";
import type { DType, PlainDType } from "./dtype.ts";

/** One tensor: row-major, outermost dimension first, stored contiguously in one shard. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Index into `Checkpoint.shards`. */
  readonly shard: number;
  /** Absolute byte offset in the shard; already checked to lie inside it, with `byteLength`. */
  readonly offset: number;
  readonly byteLength: number;
  /**
   * Where the scales are, if apart from `offset` and `byteLength`: always for FP8, and for MXFP4 of a Hugging Face
   * folder, whose codes are then 16 bytes a block with neighbouring elements in one byte, the even one low.
   */
  readonly scales?: ScaleTable;
}

/** The scales of a tensor that keeps them in another one: a table, row-major, outermost dimension first. */
export interface ScaleTable {
  readonly name: string;
  /** E8M0: a byte e that stands for 2^(e - 127). */
  readonly dtype: PlainDType | "E8M0";
  /** [matrices, rows, cols] of the table, whatever the tensor's own shape; [.., 1, 1] is one scale for a matrix. */
  readonly shape: readonly [number, number, number];
  readonly shard: number;
  readonly offset: number;
  readonly byteLength: number;
}

export interface Checkpoint {
  readonly container: "gguf" | "safetensors";
  /** GGUF metadata (`mai.block_count`, …) or the parsed `config.json`, spelling untouched. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Every tensor by the file's own name. Tensors of storage types that Octavo lacks are refused when opened. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly shards: readonly ByteSource[];
}
