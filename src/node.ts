/**
 * The public surface in Node: the engine runs in the caller's thread on a WebGPU that the caller brings. Re-exports only.
 * @module octavo/node
 */
export { Model, Session } from "./client/client.ts";
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
export type {
  AttentionSpec,
  DenseSpec,
  ExpertGroups,
  LatentSpec,
  LayerSpec,
  MlpActivation,
  ModelSpec,
  MoeSpec,
  RopeScaling,
  SharedExpertSpec,
  ShortConvSpec,
  YarnSpec,
} from "./models/spec.ts";
export { inspectModel, loadModel, loadTokenizer } from "./node/load-model.ts";
export type { NodeInspectOptions, NodeLoadOptions, WebGpu } from "./node/options.ts";
