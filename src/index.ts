/**
 * The public surface of Octavo: re-exports only.
 * @module octavo
 */
export { cachedModels, deleteCachedModel } from "./client/cached-models.ts";
export { canRun } from "./client/can-run.ts";
export { inspectModel, loadModel } from "./client/load-model.ts";
export { loadTokenizer } from "./client/tokenizer.ts";
export * from "./common.ts";
export type { CachedModel } from "./tiers/catalog.ts";
