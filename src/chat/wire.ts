/** What of chats crosses the worker border. */
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParamsBase,
  Completion,
  CompletionChunk,
  CompletionCreateParamsBase,
} from "./openai-types.ts";

/** What is asked for, by kind. */
export type ResponseRequest =
  | { readonly kind: "chat"; readonly params: ChatCompletionCreateParamsBase }
  | { readonly kind: "text"; readonly params: CompletionCreateParamsBase };

export type ResponseChunk = ChatCompletionChunk | CompletionChunk;
export type WholeResponse = ChatCompletion | Completion;
