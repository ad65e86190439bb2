/** Opens whatever a caller points at, asking a hub where it is a model on one. */
import type { FileSet } from "./byte-source.ts";
import { openFileSet } from "./file-set.ts";
import { type HubPlace, openHub } from "./hub.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** @throws what `openFileSet` and `openHub` throw. */
export async function openSource(
  source: Parameters<typeof openFileSet>[0] | HubPlace,
  hooks: SourceHooks,
  signal?: AbortSignal,
): Promise<FileSet> {
  return isHubPlace(source) ? openHub(source, hooks, signal) : openFileSet(source, hooks);
}

function isHubPlace(source: Parameters<typeof openSource>[0]): source is HubPlace {
  return typeof source === "object" && "repo" in source;
}
