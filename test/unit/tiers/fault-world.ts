/**
 * What a fault schedule runs on: tiny virtual checkpoints in two versions with the bytes of their experts, and one life
 * of a page over them - the real sources, cache, queue and RAM tier, put together as the I/O worker does.
 */
import { OctavoError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { FileSet } from "../../../src/sources/byte-source.ts";
import { openFileSet } from "../../../src/sources/file-set.ts";
import type { SourceHooks } from "../../../src/sources/source-hooks.ts";
import type { BlockStore } from "../../../src/tiers/block-store.ts";
import { ExpertFiles, type ExpertLayer } from "../../../src/tiers/expert-files.ts";
import { FetchQueue } from "../../../src/tiers/fetch-queue.ts";
import { ModelCache } from "../../../src/tiers/model-cache.ts";
import { type ModelFile, ModelFiles } from "../../../src/tiers/model-files.ts";
import { RamTier } from "../../../src/tiers/ram-tier.ts";
import { createWeightMap, type WeightMap } from "../../../src/weights/weight-map.ts";
import { ladderCheckpoint } from "../../virtual/checkpoint.ts";
import { fileOf, type RangeFile } from "../../virtual/range-file.ts";
import { virtualFileSet } from "../../virtual/source.ts";
import { TINY } from "../virtual/tiny.ts";

export const NUM_EXPERTS = 6;
/** A third of a megabyte: five times what the probe of a file brings with it. */
const SHAPE = { ...TINY, inner: 32, experts: NUM_EXPERTS, topK: 2 };

/** One version of a checkpoint, and the truth about it, read past everything that is tested. */
export interface Version {
  readonly files: ReadonlyMap<string, RangeFile>;
  readonly entry: string | undefined;
  /** Name of the file that differs between versions. */
  readonly dataName: string;
  readonly layers: readonly number[];
  /** Slot-layout bytes of expert `expert` of `layers[i]`, at `i * NUM_EXPERTS + expert`. */
  readonly experts: readonly Uint8Array<ArrayBuffer>[];
}

/** Version `seed` of the model, in memory once, since thousands of ranges of it will be read. */
export async function makeVersion(container: "gguf" | "safetensors", seed: number): Promise<Version> {
  const type = container === "gguf" ? "Q8_0" : "F16";
  const made = ladderCheckpoint({ rung: "L6", type, container, set: SHAPE, vocabulary: false, seed });
  const files = new Map([...made.files].map(([name, file]) => [name, fileOf(file.read(0, file.size))]));
  const { weights, layers } = describe(await openCheckpoint(virtualFileSet({ files, entry: made.entry })));
  const numbers = layers.flatMap((layer) =>
    Array.from({ length: NUM_EXPERTS }, (_, expert) => [layer, expert] as const),
  );
  const experts = await Promise.all(numbers.map(([layer, expert]) => weights.readExpert(layer, expert)));
  const dataName = [...files].sort(([, a], [, b]) => b.size - a.size)[0]?.[0] ?? "";
  return { files, entry: made.entry, dataName, layers, experts };
}

function describe(checkpoint: Checkpoint): { weights: WeightMap; layers: number[] } {
  const { spec, names } = describeModel(checkpoint);
  const layers = spec.layers.flatMap(({ mlp }, layer) => (mlp?.kind === "moe" ? [layer] : []));
  return { weights: createWeightMap(checkpoint, spec, names), layers };
}

/** What a page has of a model while it is open. */
export interface Life {
  /** Ends what is still being read for the opening, when one part of it has failed. */
  readonly stop: AbortController;
  readonly files: ModelFiles;
  readonly cache: ModelCache | undefined;
  readonly queue: FetchQueue;
  readonly experts: ExpertFiles;
  readonly ram: RamTier;
  readonly data: ModelFile;
}

export interface LifeOptions {
  readonly url: string;
  readonly store: BlockStore;
  readonly hooks: SourceHooks;
  readonly limitBytes: number;
  readonly ramBytes: number;
  readonly dataName: string;
}

/** The parts of a life as they come up, so that one whose opening failed can be ended too. */
export type LifeParts = Partial<Life>;

/** Opens the model as `IoHost` and the engine do. @throws what they would. */
export async function openLife(
  options: LifeOptions,
  parts: { -readonly [Part in keyof Life]?: Life[Part] },
): Promise<Life> {
  const origin = openFileSet(options.url, options.hooks);
  let worth = (_group: number): number => 0;
  const { store, limitBytes } = options;
  const opening = ModelCache.open(store, { label: origin.label, limitBytes, now: Date.now, worth: (id) => worth(id) });
  const cache = await opening.catch(() => undefined); // then the model is read without one
  const queue = new FetchQueue();
  const files = new ModelFiles(origin, cache, queue);
  const stop = new AbortController();
  Object.assign(parts, { stop, cache, queue, files });
  const opened: ModelFile[] = [];
  const checkpoint = await openCheckpoint(throughTiers(origin, files, opened), stop.signal);
  const { weights, layers } = describe(checkpoint);
  const numbers = checkpoint.shards.map(({ label }) => opened.findIndex(({ origin: each }) => each.label === label));
  const tables = layers.map((layer) => expertLayer(numbers, weights, layer));
  const experts = await ExpertFiles.open(files, cache, opened, tables);
  worth = experts.worth;
  const ram = new RamTier(experts.read, options.ramBytes);
  const data = opened.find(({ identity }) => identity.name === options.dataName);
  if (!data) throw new RangeError(`${options.dataName} was not opened`);
  return Object.assign(parts, { stop, cache, queue, files, experts, ram, data });
}

/** The model's folder, read through cache and queue. */
function throughTiers(origin: FileSet, files: ModelFiles, opened: ModelFile[]): FileSet {
  return {
    label: origin.label,
    entry: origin.entry,
    open: async (name, signal) => {
      const file = await files.open(name, signal);
      if (!file) return undefined;
      opened.push(file);
      return {
        label: file.origin.label,
        size: async () => file.identity.size,
        read: (offset, length, own) => files.read({ file, offset, length }, { priority: "demand", signal: own }),
      };
    },
  };
}

function expertLayer(numbers: readonly number[], weights: WeightMap, layer: number): ExpertLayer {
  const ranges = Array.from({ length: NUM_EXPERTS }, (_, expert) => weights.expertRanges(layer, expert));
  const parts = ranges.flat().flatMap(({ shard, offset, length }) => [numbers[shard] ?? -1, offset, length]);
  const layout = weights.expertLayout(layer);
  return { layer, numExperts: NUM_EXPERTS, layout, numParts: ranges[0]?.length ?? 0, parts: Float64Array.from(parts) };
}

/** What a failed read is called; an error that Octavo does not name is thrown again, as the fault of the test's subject. */
export function nameOf(error: unknown, abortable: boolean): string {
  if (error instanceof OctavoError) return error.name;
  if (abortable && error instanceof DOMException && error.name === "AbortError") return "AbortError";
  throw error;
}
