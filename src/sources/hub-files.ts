/** Which files of a repository on a hub are the model that is meant. Works on a listing alone; asks nobody. */
import { UsageError } from "../errors.ts";
import { humanBytes } from "../util/math.ts";
import { baseName, isGgufName, parseSplitName, splitName } from "./file-name.ts";

/** A file of the repository. */
export interface HubFile {
  /** From the repository's root, with slashes. */
  readonly path: string;
  readonly bytes: number;
  /** Content hash, where the hub tells one. */
  readonly hash?: string | undefined;
}

/** What the caller said about it. */
export interface HubWish {
  readonly file?: string | undefined;
  readonly quantization?: string | undefined;
}

/** One model of a repository: a GGUF file, or all shards of a split. */
interface GgufModel {
  /** Path of the file, of a split its first shard. */
  readonly entry: string;
  readonly bytes: number;
  /** As its name says, upper case; `undefined` when it says none. */
  readonly type: string | undefined;
}

/** Types tried in this order where the caller names none: good at four bits first, then smaller losses, then smaller. */
const DEFAULT_TYPES = [
  ["Q4_K_M", "MXFP4", "MXFP4_MOE", "Q4_K_S", "Q4_0", "IQ4_NL", "Q4_1"],
  ["Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "BF16", "F16", "F32"],
].flat();

const TYPE = /(?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|FP?16|FP?32)(?![A-Z0-9])/gi;
/** GGUF files that belong to a model but are none: image encoders, importance matrices, vocabularies, draft heads. */
const NO_MODEL = /(?:^|[-_.])(?:mmproj|imatrix|vocab|mtp|nextn)(?:[-_.]|$)/i;
/** Choices listed in one message; more would bury it. */
const MAX_LISTED = 30;

/**
 * The path of the GGUF that is meant, or `undefined` for a repository that holds a safetensors folder instead.
 * @param repo what messages call the repository.
 * @throws UsageError listing the choices with their sizes when nothing, or more than one model, fits.
 */
export function chooseEntry(repo: string, files: readonly HubFile[], wish: HubWish): string | undefined {
  if (wish.file !== undefined) return namedFile(repo, files, wish.file);
  const models = ggufModels(repo, files);
  if (models.length === 0 && wish.quantization === undefined && hasSafetensors(files)) return undefined;
  const fitting = models.filter(({ type }) => wish.quantization === undefined || sameType(type, wish.quantization));
  const chosen = wish.quantization === undefined ? byDefault(fitting) : fitting;
  const [first, ...others] = chosen;
  if (first && others.length === 0) return first.entry;
  throw new UsageError(refusal(repo, files, wish, models, chosen));
}

function namedFile(repo: string, files: readonly HubFile[], path: string): string {
  if (isGgufName(path) && files.some((file) => file.path === path)) return path;
  const models = ggufModels(repo, files);
  throw new UsageError(`${repo} has no GGUF file "${path}". ${choices(models)}`);
}

/** The models of the repository's GGUF files, smallest first. A split counts only when it is whole. */
function ggufModels(repo: string, files: readonly HubFile[]): GgufModel[] {
  const sizes = new Map(files.map(({ path, bytes }) => [path, bytes]));
  const models: GgufModel[] = [];
  for (const { path, bytes } of files) {
    if (!isGgufName(path) || NO_MODEL.test(baseName(path))) continue;
    const split = parseSplitName(path);
    if (split && split.index !== 1) continue;
    const total = split ? splitBytes(repo, path, split, sizes) : bytes;
    models.push({ entry: path, bytes: total, type: typeOf(split?.prefix ?? path) });
  }
  return models.sort((a, b) => a.bytes - b.bytes);
}

/** @throws UsageError naming the first shard that is missing. */
function splitBytes(
  repo: string,
  path: string,
  { prefix, count }: { prefix: string; count: number },
  sizes: ReadonlyMap<string, number>,
): number {
  let total = 0;
  for (let index = 1; index <= count; index++) {
    const shard = splitName(prefix, index, count);
    const bytes = sizes.get(shard);
    if (bytes === undefined) throw new UsageError(`${repo}: the split "${path}" lacks its shard "${shard}"`);
    total += bytes;
  }
  return total;
}

/** The last storage type in the file's name, else in its folder's: `Q4_K_M/model-00001-of-00002.gguf`. */
function typeOf(path: string): string | undefined {
  const found = path.match(TYPE)?.at(-1)?.toUpperCase();
  return found?.replace(/^FP/, "F");
}

function sameType(type: string | undefined, wanted: string): boolean {
  return type === wanted.toUpperCase().replace(/^FP/, "F");
}

/** What a caller without a wish gets: the only model there is, or those of the first type of the list that is there. */
function byDefault(models: readonly GgufModel[]): readonly GgufModel[] {
  if (models.length === 1) return models;
  const type = DEFAULT_TYPES.find((candidate) => models.some((model) => model.type === candidate));
  return type === undefined ? [] : models.filter((model) => model.type === type);
}

function hasSafetensors(files: readonly HubFile[]): boolean {
  const has = (name: string): boolean => files.some(({ path }) => path === name);
  return has("config.json") && (has("model.safetensors") || has("model.safetensors.index.json"));
}

function refusal(
  repo: string,
  files: readonly HubFile[],
  { quantization }: HubWish,
  models: readonly GgufModel[],
  chosen: readonly GgufModel[],
): string {
  if (models.length === 0) {
    const names = files.slice(0, 5).map(({ path }) => path);
    const folder = hasSafetensors(files) ? "safetensors only" : `${names.join(", ") || "no files"}`;
    const wanted = quantization ?? "a model";
    return `${repo}: expected a GGUF file of ${wanted}, or config.json with model.safetensors; it has ${folder}`;
  }
  const how = chosen.length === 0 ? "none is" : "several are";
  const what = quantization === undefined ? "of a type that is taken by itself" : quantization;
  return `${repo} has ${models.length} GGUF models, and ${how} ${what}. ${choices(models)}`;
}

function choices(models: readonly GgufModel[]): string {
  const listed = models.slice(0, MAX_LISTED).map(({ entry, bytes }) => `${entry} (${humanBytes(bytes)})`);
  const more = models.length > MAX_LISTED ? ", ..." : "";
  return `Name one by its type (":Q4_K_M") or its file: ${listed.join(", ") || "there is none"}${more}`;
}
