/**
 * The chat API as data: what OpenAI's client sends and gets, in declarations of our own. Answers are assignable to the types
 * of the `openai` package, and requests made with its types to ours where Octavo has the field (`test/types/openai.ts`).
 * What is beyond OpenAI says so. Everything here crosses the worker border.
 */
import type { ResponseStats } from "../engine/types.ts";

/** JSON schema or arguments of a function. */
export type JsonRecord = Record<string, unknown>;

/** A piece of text of a message. Images and sound are refused. */
export interface TextContentPart {
  type: "text";
  text: string;
}

/** A call of a function in an answer; `arguments` is JSON in a string, as far as the model wrote it right. */
export interface ChatToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

/** What the model is told before the conversation. */
export interface ChatSystemMessage {
  role: "system" | "developer";
  content: string | TextContentPart[];
  name?: string;
}

/** A user's turn. */
export interface ChatUserMessage {
  role: "user";
  content: string | TextContentPart[];
  name?: string;
}

/** An earlier answer, with the calls that it made. */
export interface ChatAssistantMessage {
  role: "assistant";
  content?: string | TextContentPart[] | null;
  tool_calls?: ChatToolCall[];
  /** Beyond OpenAI: the thought before the answer. Most templates leave earlier thoughts out. */
  reasoning_content?: string | null;
  refusal?: string | null;
  name?: string;
}

/** What a called function gave. */
export interface ChatToolMessage {
  role: "tool";
  content: string | TextContentPart[];
  tool_call_id: string;
}

/** A message of a request. */
export type ChatCompletionMessageParam = ChatSystemMessage | ChatUserMessage | ChatAssistantMessage | ChatToolMessage;

/** A function that the model may call; `parameters` is a JSON schema of its argument. */
export interface ChatTool {
  type: "function";
  function: { name: string; description?: string; parameters?: JsonRecord; strict?: boolean | null };
}

/** Whether functions may, must or must not be called, or which one must. */
export type ChatToolChoice = "none" | "auto" | "required" | { type: "function"; function: { name: string } };

/** What the answer must be; thoughts are free of it. */
export type ChatResponseFormat =
  | { type: "text" }
  | { type: "json_object" }
  | {
      type: "json_schema";
      json_schema: { name: string; description?: string; schema?: JsonRecord; strict?: boolean | null };
    }
  /** Beyond OpenAI: text that the whole of an ECMAScript pattern matches. */
  | { type: "regex"; pattern: string }
  /** Beyond OpenAI: text of a grammar in EBNF as GBNF writes it; the rule `root` is the whole. */
  | { type: "grammar"; grammar: string };

/** How much a model thinks, where it can be told. */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";

/** How the next tokens are drawn, and where the text ends: the same for chats and for plain text. */
export interface SamplingParams {
  /** 0 to 2; 0 takes the likeliest token. Default 1. */
  temperature?: number | null;
  /** Keep the likeliest tokens whose probability reaches this, above 0 to 1. Default 1: all. */
  top_p?: number | null;
  /** Beyond OpenAI: keep that many of the likeliest tokens. Default 0: all. */
  top_k?: number | null;
  /** Beyond OpenAI: keep tokens at least this times as likely as the likeliest, 0 to 1. Default 0: all. */
  min_p?: number | null;
  /** Equal seeds repeat exactly. A whole number, of which 32 bits count. Default: another one every time. */
  seed?: number | null;
  /** -2 to 2, taken off tokens that the answer has already, and off as often as it has them. Default 0. */
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  /** Beyond OpenAI: above 0, divides the logits of tokens of prompt and answer. Default 1: none. */
  repetition_penalty?: number | null;
  /** Token id to a number from -100 to 100 that is added to its logit. */
  logit_bias?: Record<string, number> | null;
  /** Most tokens of the answer, thoughts included. Default: to the end of the context. */
  max_tokens?: number | null;
  /** Texts that end the answer; they are not part of it. At most 16. */
  stop?: string | string[] | null;
  /** Answers, one after another; the i-th is that of seed + i alone. 1 to 16. */
  n?: number | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean; include_obfuscation?: boolean } | null;
  /** Beyond OpenAI: what of earlier conversations may be taken over; see `PrefixReuse`. */
  prefix_reuse?: PrefixReuse | null;
  /** Not looked at: the loaded model answers. The answer's `model` is what stands here, else the model's own name. */
  model?: string;
  /** Taken and without effect, so that code written for OpenAI runs: there is no account, store or service here. */
  user?: string;
  metadata?: unknown;
  store?: boolean | null;
  service_tier?: string | null;
  safety_identifier?: string | null;
  prompt_cache_key?: string | null;
  prompt_cache_retention?: string | null;
}

/**
 * What a request takes over of the tokens that earlier ones left in the KV cache. "all": the longest common beginning.
 * "exact": only what was computed as a prompt, so that the bits are those of a fresh session; tokens that were drawn one by
 * one are computed again. "none": nothing.
 */
export type PrefixReuse = "all" | "exact" | "none";

export interface ChatCompletionCreateParamsBase extends SamplingParams {
  messages: readonly ChatCompletionMessageParam[];
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  /** Likeliest alternatives with every token, 0 to 20; needs `logprobs`. */
  top_logprobs?: number | null;
  response_format?: ChatResponseFormat;
  tools?: ChatTool[];
  tool_choice?: ChatToolChoice;
  /** `false` ends the turn after the first call. Default true. */
  parallel_tool_calls?: boolean;
  /** Handed to templates that know it; else a bound on the thought: see README. */
  reasoning_effort?: ReasoningEffort | null;
  /** Beyond OpenAI: thoughts on or off, and their most tokens. */
  thinking?: { type: "enabled" | "disabled"; budget_tokens?: number } | null;
  /** Beyond OpenAI: the same bound, by itself; 0 switches thoughts off. */
  thinking_budget?: number | null;
  /** Beyond OpenAI: a Jinja template in place of the model's own, and variables for it. */
  chat_template?: string | null;
  chat_template_kwargs?: JsonRecord | null;
}

export interface ChatCompletionCreateParamsNonStreaming extends ChatCompletionCreateParamsBase {
  stream?: false | null;
}

export interface ChatCompletionCreateParamsStreaming extends ChatCompletionCreateParamsBase {
  stream: true;
}

/** A token with the natural logarithm of its probability. */
export interface TokenLogprob {
  token: string;
  logprob: number;
  /** Bytes of the token, which may be a piece of a character; `null` for special tokens. */
  bytes: number[] | null;
}

/** A token of the answer, and the likeliest alternatives at its place. */
export interface ChatTokenLogprob extends TokenLogprob {
  top_logprobs: TokenLogprob[];
}

/** One entry for every token drawn, thoughts and markers included. */
export interface ChatLogprobs {
  content: ChatTokenLogprob[] | null;
  refusal: null;
}

/** Tokens of a request and its answers. */
export interface ChatUsage {
  prompt_tokens: number;
  /** Of all answers together, thoughts included. */
  completion_tokens: number;
  total_tokens: number;
  /** `cached_tokens`: tokens of the prompt that were not computed again. */
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
  /** Beyond OpenAI: the counters of this response, paging included; `null` when nothing ran. */
  octavo: ResponseStats | null;
}

/** Why an answer ended: by itself, at a bound, or with calls of functions. */
export type ChatFinishReason = "stop" | "length" | "tool_calls";

/** An answer. */
export interface ChatCompletionMessage {
  role: "assistant";
  content: string | null;
  refusal: null;
  /** Beyond OpenAI: the thought, where the model gave one. */
  reasoning_content?: string;
  tool_calls?: ChatToolCall[];
}

/** One of the `n` answers. */
export interface ChatCompletionChoice {
  index: number;
  message: ChatCompletionMessage;
  finish_reason: ChatFinishReason;
  logprobs: ChatLogprobs | null;
}

/** Answers to a conversation. */
export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  /** Seconds since 1970. */
  created: number;
  model: string;
  choices: ChatCompletionChoice[];
  usage: ChatUsage;
}

/** What a chunk adds to an answer. */
export interface ChatDelta {
  role?: "assistant";
  content?: string;
  reasoning_content?: string;
  tool_calls?: { index: number; id?: string; type?: "function"; function?: { name?: string; arguments?: string } }[];
}

/** A piece of streamed answers. */
export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: number;
    delta: ChatDelta;
    finish_reason: ChatFinishReason | null;
    logprobs: ChatLogprobs | null;
  }[];
  /** In the last chunk, whose `choices` are empty, when `stream_options.include_usage` asks for it. */
  usage?: ChatUsage | null;
}

export interface CompletionCreateParamsBase extends SamplingParams {
  /** A text, or the ids of one. */
  prompt: string | number[];
  /** Likeliest alternatives with every token, 0 to 20. */
  logprobs?: number | null;
  response_format?: ChatResponseFormat;
}

export interface CompletionCreateParamsStreaming extends CompletionCreateParamsBase {
  stream: true;
}

export interface CompletionCreateParamsNonStreaming extends CompletionCreateParamsBase {
  stream?: false | null;
}

/** Tokens of a continuation with the natural logarithms of their probabilities. */
export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  /** Where each token begins in the text of its choice, in UTF-16 units. */
  text_offset: number[];
}

interface CompletionOf<Reason> {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: Reason; logprobs: CompletionLogprobs | null }[];
}

/** A continuation: OpenAI's older kind of answer. */
export interface Completion extends CompletionOf<"stop" | "length"> {
  usage: ChatUsage;
}

/** A piece of one while streaming; `usage` as for `ChatCompletionChunk`. */
export interface CompletionChunk extends CompletionOf<"stop" | "length" | null> {
  usage?: ChatUsage | null;
}
