/** The public surface of Octavo: re-exports only. */
export { cachedModels, deleteCachedModel } from "./client/cached-models.ts";
export { canRun } from "./client/can-run.ts";
export type * from "./client/chat.ts";
export { Model, Session } from "./client/client.ts";
export { inspectModel, loadModel } from "./client/load-model.ts";
export { loadTokenizer } from "./client/tokenizer.ts";
export type * from "./client/types.ts";
export type {
  BudgetCode,
  DeviceCode,
  ErrorCode,
  ErrorDetails,
  ErrorMore,
  SourceCode,
  UnsupportedCode,
  UsageCode,
} from "./errors.ts";
export {
  BudgetError,
  DeviceError,
  errorCode,
  FormatError,
  OctavoError,
  SourceError,
  UnsupportedError,
  UsageError,
} from "./errors.ts";
export { createChatStream } from "./generate/chat-stream.ts";
export type { AttentionSpec, DenseSpec, LayerSpec, ModelSpec, MoeSpec } from "./models/spec.ts";
export type { CachedModel } from "./tiers/catalog.ts";
