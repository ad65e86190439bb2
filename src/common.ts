/** What the entries for pages and for Node have in common: re-exports only. */
export type * from "./client/chat.ts";
export { Model } from "./client/model.ts";
export { Session } from "./client/session.ts";
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
