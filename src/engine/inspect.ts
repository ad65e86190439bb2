/**
 * What a model is and what it needs, read from its headers: the work behind `inspectModel` on a page and `npm run inspect`.
 * Loads no weights and needs no GPU.
 */
import { BudgetError, UnsupportedError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { describeModel } from "../models/registry.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { FileSet } from "../sources/byte-source.ts";
import type { SourceHooks } from "../sources/source-hooks.ts";
import { findTokenizer, type TokenizerPlace } from "../tokenizer/find.ts";
import { createWeightMap, type WeightMap } from "../weights/weight-map.ts";
import { type CheckpointDescription, type DescribeOptions, describeCheckpoint } from "./describe.ts";

/** Structured-cloneable. */
export interface ModelInspection {
  /** What was inspected: address without query, name of a file, `owner/name` with the file chosen. */
  readonly source: string;
  /** `null` for a model that Octavo cannot describe: the first of `unsupported` says why. */
  readonly description: CheckpointDescription | null;
  /** Where the model's tokenizer is; `null` where there is none that Octavo reads. */
  readonly tokenizer: TokenizerPlace | null;
  /** Why `loadModel` would refuse the model, each a sentence or two; empty when it would not. */
  readonly unsupported: readonly string[];
  /** Bytes read to find all this out. */
  readonly bytesRead: number;
}

/**
 * Inspects the files that `open` gives.
 * @param open is handed hooks that count what is read.
 * @throws FormatError, SourceError, `AbortError`; UsageError for a senseless context length.
 */
export async function inspectFiles(
  open: (hooks: SourceHooks) => Promise<FileSet>,
  options: DescribeOptions,
  signal?: AbortSignal,
): Promise<ModelInspection> {
  return (await openAndInspect(open, async () => options, signal)).inspection;
}

/** An inspection, and what was opened for it; `null` what could not be. */
export interface Inspected {
  readonly inspection: ModelInspection;
  readonly files: FileSet;
  readonly model: { readonly checkpoint: Checkpoint; readonly spec: ModelSpec; readonly weights: WeightMap } | null;
}

/** As `inspectFiles`, for who goes on reading. @param options is asked when the headers have been read. */
export async function openAndInspect(
  open: (hooks: SourceHooks) => Promise<FileSet>,
  options: () => Promise<DescribeOptions>,
  signal?: AbortSignal,
): Promise<Inspected> {
  let bytesRead = 0;
  const onBytes = (_origin: string, bytes: number): void => {
    bytesRead += bytes;
  };
  const files = await open({ onBytes });
  const unsupported: string[] = [];
  const orWhyNot = async <T>(find: () => Promise<T>): Promise<T | null> => {
    try {
      return await find();
    } catch (error) {
      if (!(error instanceof UnsupportedError || error instanceof BudgetError)) throw error;
      unsupported.push(error.message);
      return null;
    }
  };
  const checkpoint = await orWhyNot(() => openCheckpoint(files, signal));
  const described =
    checkpoint &&
    (await orWhyNot(async () => {
      const { spec, names } = describeModel(checkpoint);
      const weights = createWeightMap(checkpoint, spec, names);
      const description = describeCheckpoint(checkpoint, spec, weights, await options());
      return { description, model: { checkpoint, spec, weights } };
    }));
  const tokenizer = checkpoint && (await orWhyNot(() => findTokenizer(files, checkpoint, signal)));
  const description = described?.description ?? null;
  const inspection = { source: files.label, description, tokenizer, unsupported, bytesRead };
  return { inspection, files, model: described?.model ?? null };
}
