/**
 * Hugging Face folders as a checkpoint: `config.json` with `model.safetensors`, or with the shards that
 * `model.safetensors.index.json` lists. Tensor data is not read.
 */
import { FormatError } from "../errors.ts";
import type { ByteSource, FileSet } from "../sources/byte-source.ts";
import { isSafeFileName } from "../sources/file-name.ts";
import { mapLimited } from "../util/limit.ts";
import { show } from "../util/show.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { isJsonObject, type JsonObject, readJson } from "./read-json.ts";
import { readSafetensorsHeader } from "./safetensors-header.ts";
import { joinScales, type RawTensor } from "./separate-scales.ts";

const CONFIG_FILE = "config.json";
const WHOLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";
/** Configurations are a few KB, indexes of the largest models some tens of MB. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;
const MAX_INDEX_BYTES = 100 * 1024 * 1024;
const PARALLEL_SHARDS = 4;

/** @throws FormatError, UnsupportedError, SourceError, `AbortError`. */
export async function openSafetensors(files: FileSet, signal?: AbortSignal): Promise<Checkpoint> {
  const [config, whole] = await Promise.all([openConfig(files, signal), files.open(WHOLE_FILE, signal)]);
  const { sources, weightMap } = whole ? { sources: [whole], weightMap: undefined } : await openIndexed(files, signal);
  const tables = await mapLimited(
    sources,
    PARALLEL_SHARDS,
    (source, shard) => {
      return readSafetensorsHeader(source, shard, signal);
    },
    signal,
  );
  const tensors = merged(sources, tables);
  if (weightMap) checkIndex(files, weightMap, tensors, sources);
  return { container: "safetensors", config, tensors: joinScales(files.label, config, tensors), shards: sources };
}

async function openConfig(files: FileSet, signal?: AbortSignal): Promise<JsonObject> {
  const source = await files.open(CONFIG_FILE, signal);
  if (source) return readJson(source, MAX_CONFIG_BYTES, signal);
  throw new FormatError(
    `${files.label}: no ${CONFIG_FILE}; expected the address of a .gguf file, or of a folder (or files) with ` +
      `${CONFIG_FILE} and ${WHOLE_FILE}`,
  );
}

async function openIndexed(
  files: FileSet,
  signal?: AbortSignal,
): Promise<{ sources: ByteSource[]; weightMap: ReadonlyMap<string, number> }> {
  const index = await files.open(INDEX_FILE, signal);
  if (!index) throw new FormatError(`${files.label}: neither ${WHOLE_FILE} nor ${INDEX_FILE}`);
  const map = (await readJson(index, MAX_INDEX_BYTES, signal)).weight_map;
  if (!isJsonObject(map)) throw new FormatError(`${index.label}: expected an object "weight_map", got ${typeof map}`);
  const names: string[] = [];
  const weightMap = new Map<string, number>();
  const shardOf = new Map<string, number>();
  for (const [tensor, name] of Object.entries(map)) {
    if (typeof name !== "string" || !isSafeFileName(name) || !name.endsWith(".safetensors")) {
      throw new FormatError(
        `${index.label}: expected a .safetensors file of the same folder for "${tensor}", got ${show(name)}`,
      );
    }
    const shard = shardOf.get(name) ?? names.push(name) - 1;
    shardOf.set(name, shard);
    weightMap.set(tensor, shard);
  }
  const sources = await mapLimited(
    names,
    PARALLEL_SHARDS,
    async (name) => {
      const source = await files.open(name, signal);
      if (source) return source;
      throw new FormatError(`${files.label}: shard "${name}" is listed in ${INDEX_FILE} but missing`);
    },
    signal,
  );
  return { sources, weightMap };
}

function merged(sources: readonly ByteSource[], tables: readonly (readonly RawTensor[])[]): Map<string, RawTensor> {
  const tensors = new Map<string, RawTensor>();
  tables.forEach((table, shard) => {
    for (const tensor of table) {
      const before = tensors.get(tensor.name);
      if (before) {
        const labels = `${sources[before.shard]?.label ?? ""} and ${sources[shard]?.label ?? ""}`;
        throw new FormatError(`${labels}: expected every tensor once, got "${tensor.name}" in both`);
      }
      tensors.set(tensor.name, tensor);
    }
  });
  return tensors;
}

function checkIndex(
  files: FileSet,
  weightMap: ReadonlyMap<string, number>,
  tensors: ReadonlyMap<string, RawTensor>,
  sources: readonly ByteSource[],
): void {
  for (const [name, shard] of weightMap) {
    if (tensors.get(name)?.shard === shard) continue;
    throw new FormatError(
      `${files.label}: ${INDEX_FILE} says that "${name}" is in ${sources[shard]?.label ?? ""}; it is not`,
    );
  }
}
