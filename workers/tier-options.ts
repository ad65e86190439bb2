/** Which tiers a model gets: what the caller asked for, and what is sensible where nothing was said. */
import type { WireLoadOptions } from "../src/client/protocol.ts";
import { UsageError } from "../src/errors.ts";
import type { StorageAccess } from "./disk-cache.ts";
import type { Source } from "./io-protocol.ts";

/** Of the device's memory; the browser's other tabs need theirs, and browsers report at most 8 GiB. */
const RAM_SHARE = 0.25;
/** Where the browser does not tell. */
const ASSUMED_MEMORY_GIB = 2;

/** @throws UsageError for a setting that would otherwise pass without effect. */
export function checkTierOptions(source: Source, { cache, diskQuotaBytes, ramBudgetBytes }: WireLoadOptions): void {
  if (cache === true && !isRemoteSource(source)) {
    throw new UsageError("cache: true is for addresses; picked files and files in memory are at hand already.");
  }
  for (const [name, bytes] of Object.entries({ diskQuotaBytes, ramBudgetBytes })) {
    if (bytes === undefined || bytes >= 0) continue;
    throw new UsageError(`${name} is ${bytes}; expected a number of bytes, 0 or more.`);
  }
}

/** On for addresses where the page may store: a model is large, and is read from its server only once then. */
export function cacheWanted(source: Source, { cache }: WireLoadOptions, { storage }: StorageAccess): boolean {
  return cache ?? (isRemoteSource(source) && storage?.getDirectory !== undefined);
}

function isRemoteSource(source: Source): boolean {
  return typeof source === "string" || "repo" in source;
}

/** Bytes of the RAM tier. None for sources in memory, which would only be there twice. */
export function defaultRamBytes(source: Source, { deviceMemory }: { deviceMemory?: number | undefined }): number {
  const files = Array.isArray(source) ? source : [source];
  if (files.some((file) => typeof file !== "string" && "bytes" in file)) return 0;
  return RAM_SHARE * (deviceMemory ?? ASSUMED_MEMORY_GIB) * 2 ** 30;
}
