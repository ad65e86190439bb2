/** Virtual checkpoints: from what is wanted to named files whose bytes are made as they are read. Runs in browsers too. */
import type { DType } from "../../src/formats/dtype.ts";
import { ggufVocabulary } from "../../src/tokenizer/gguf-vocabulary.ts";
import type { Typed } from "../fixtures/make-gguf.ts";
import { type Blueprint, type Container, vocabularyMetadata } from "./blueprint.ts";
import { ggufFiles } from "./gguf-files.ts";
import { type LadderShape, ladderShape, ladderSpec, type Rung } from "./ladder.ts";
import { maiBlueprint } from "./mai.ts";
import { type RangeFile, textFile } from "./range-file.ts";
import { safetensorsFiles } from "./safetensors-files.ts";
import { TensorBytes } from "./tensor-bytes.ts";
import { makeVocabulary } from "./vocabulary.ts";

export interface FilesOptions {
  readonly container: Container;
  /** Of everything random. Default 1. */
  readonly seed?: number;
  /** Most bytes of a file of a split; without it there is one file. */
  readonly shardBytes?: number;
  /** Tokens of the vocabulary that comes with the model; 0 for a model of ids alone. */
  readonly vocabularySize: number;
}

/** The files of a checkpoint by name, and the one that a reader is pointed at: `undefined` for a folder. */
export interface VirtualCheckpoint {
  readonly files: ReadonlyMap<string, RangeFile>;
  readonly entry: string | undefined;
}

/** The files of `blueprint`. @throws RangeError for what cannot be written so. */
export function virtualFiles(blueprint: Blueprint, options: FilesOptions): VirtualCheckpoint {
  const { container, seed = 1, shardBytes = Number.POSITIVE_INFINITY, vocabularySize } = options;
  const bytes = new TensorBytes(seed);
  const vocabulary = () => (vocabularySize > 0 ? vocabularyMetadata(makeVocabulary(vocabularySize)) : {});
  if (container === "gguf") {
    const files = ggufFiles(blueprint, { ...blueprint.metadata, ...vocabulary() }, bytes, shardBytes);
    return { files, entry: [...files.keys()][0] };
  }
  const files = safetensorsFiles(blueprint, bytes, shardBytes);
  if (vocabularySize > 0) {
    files.set("tokenizer.json", textFile(JSON.stringify(ggufVocabulary(plain(vocabulary()))?.json)));
  }
  return { files, entry: undefined };
}

/** Metadata as a reader gives it. */
function plain(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const isTyped = (value: unknown): value is Typed => typeof value === "object" && value !== null && "type" in value;
  return Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, isTyped(value) ? value.value : value]),
  );
}

export interface LadderOptions extends Omit<FilesOptions, "vocabularySize"> {
  readonly rung: Rung;
  /** Of the matrices. */
  readonly type: DType;
  /** Sizes other than the rung's. */
  readonly set?: Partial<LadderShape>;
  /** Whether a vocabulary comes with the model. Default true. */
  readonly vocabulary?: boolean;
}

/** A model of the ladder. */
export function ladderCheckpoint({
  rung,
  type,
  set = {},
  vocabulary = true,
  ...files
}: LadderOptions): VirtualCheckpoint {
  const shape = { ...ladderShape(rung), ...set };
  const name = `${rung.toLowerCase().replace(/^l/, "mai-l")}-${type.toLowerCase()}`;
  const spec = ladderSpec(name, shape, [shape.vocab - 20]); // where o200k_base ends a text
  const blueprint = maiBlueprint(spec, files.container, type);
  return virtualFiles(blueprint, { ...files, vocabularySize: vocabulary ? shape.vocab : 0 });
}
