/** A checkpoint as plain data: its configuration and a table of where every tensor's bytes are. */
import type { ByteSource } from "../sources/byte-source.ts";
import type { DType } from "./dtype.ts";

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
}

export interface Checkpoint {
  readonly container: "gguf" | "safetensors";
  /** GGUF metadata (`mai.block_count`, …) or the parsed `config.json`, spelling untouched. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Every tensor by the file's own name. Tensors of storage types that Octavo lacks are refused when opened. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly shards: readonly ByteSource[];
}
