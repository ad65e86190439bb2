/** What may become of a forged model: a named error, or a model whose every tensor has bytes of its own in the files. */
import { expect } from "vitest";
import { describeCheckpoint } from "../../../src/engine/describe.ts";
import { BudgetError, FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { ByteSource, FileSet } from "../../../src/sources/byte-source.ts";
import { loadTokenizer } from "../../../src/tokenizer/load.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";

/** One case does milliseconds of work; this allows for a machine that does something else meanwhile. */
const MAX_MS = 3000;

export type Files = Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

export interface Outcome {
  readonly accepted: boolean;
  /** Name and text of the refusal. */
  readonly refusal: string;
}

/**
 * Takes `files` as far as a load goes without a GPU. Fails the test for an error of the language or of reading, a read past
 * an end, more bytes than a few times the files, a slow case, and for tensors that are not sound.
 */
export async function outcomeOf(files: Files, entry: string | undefined): Promise<Outcome> {
  const started = performance.now();
  const size = Object.values(files).reduce((sum, { length }) => sum + length, 0);
  const reads = { bytes: 0 };
  const result = await load(fileSet(files, entry, reads));
  const ms = performance.now() - started;
  // A header is loaded in pieces that overlap by what was left of the last.
  if (reads.bytes > 4 * size) throw new Error(`${reads.bytes} bytes were read of ${size}`);
  if (ms > MAX_MS) throw new Error(`it took ${ms} ms`);
  return result;
}

async function load(files: FileSet): Promise<Outcome> {
  try {
    const checkpoint = await openCheckpoint(files);
    await checkSound(checkpoint);
    const { spec, names } = describeModel(checkpoint);
    const weights = createWeightMap(checkpoint, spec, names);
    const { memory, parameters } = describeCheckpoint(checkpoint, spec, weights);
    for (const value of [...Object.values(memory), ...Object.values(parameters)]) {
      if (!Number.isSafeInteger(value) || value < 0) throw new Error(`a size of ${value}`);
    }
    const tokenizer = await loadTokenizer(files, checkpoint);
    tokenizer?.encode("It was a dark and stormy night.");
    return { accepted: true, refusal: "" };
  } catch (error) {
    const named = error instanceof FormatError || error instanceof UnsupportedError || error instanceof BudgetError;
    if (!named) throw error;
    expect(error.message.length).toBeGreaterThan(10);
    return { accepted: false, refusal: `${error.name}: ${error.message}` };
  }
}

async function checkSound({ tensors, shards }: Checkpoint): Promise<void> {
  for (const [shard, source] of shards.entries()) {
    const own = [...tensors.values()].filter((tensor) => tensor.shard === shard && tensor.byteLength > 0);
    checkApart(own, await source.size());
  }
}

/** Every pair, and not neighbours after sorting, as the code under test does. */
function checkApart(tensors: readonly TensorInfo[], size: number): void {
  tensors.forEach((one, i) => {
    const end = one.offset + one.byteLength;
    if (!(one.offset >= 0 && end <= size)) throw new Error(`"${one.name}" lies outside the file`);
    for (let j = 0; j < i; j++) {
      const other = tensors[j];
      if (!other || other.offset >= end || other.offset + other.byteLength <= one.offset) continue;
      throw new Error(`"${one.name}" and "${other.name}" overlap`);
    }
  });
}

function fileSet(files: Files, entry: string | undefined, reads: { bytes: number }): FileSet {
  return {
    label: "forged",
    entry,
    open: async (name) => {
      const bytes = Object.hasOwn(files, name) ? files[name] : undefined;
      return bytes && watched(name, bytes, reads);
    },
  };
}

/** Unlike a real source it does not refuse a read past the end but fails the test. */
function watched(label: string, bytes: Uint8Array<ArrayBuffer>, reads: { bytes: number }): ByteSource {
  return {
    label,
    size: async () => bytes.length,
    read: async (offset, length) => {
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
        throw new Error(`a read of ${length} bytes at ${offset} of ${bytes.length}`);
      }
      reads.bytes += length;
      return bytes.slice(offset, offset + length);
    },
  };
}
