/** What the caller asks for, checked and in the terms of the engine. Knows neither model nor tokens. */
import { UsageError } from "../errors.ts";
import type { Constraint } from "../generate/settings.ts";
import {
  anything,
  boolean,
  type Check,
  type Checks,
  checkFields,
  fields,
  isRecord,
  list,
  oneOf,
  positive,
  record,
  text,
  whole,
  within,
} from "./fields.ts";
import type {
  ChatCompletionCreateParamsBase,
  ChatResponseFormat,
  CompletionCreateParamsBase,
  PrefixReuse,
  SamplingParams,
} from "./openai-types.ts";

/** Most answers to one request, and most texts that end one. */
const MAX_CHOICES = 16;
const MAX_STOPS = 16;
const MAX_TOP_LOGPROBS = 20;

/** What both kinds of request come down to. */
export interface Wanted {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  /** Of the first choice; 32-bit unsigned. */
  readonly seed: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly repetitionPenalty: number;
  readonly logitBias: Readonly<Record<number, number>> | undefined;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly n: number;
  /** `undefined`: no log-probabilities are wanted. */
  readonly topLogprobs: number | undefined;
  readonly constraint: Constraint | undefined;
  readonly includeUsage: boolean;
  readonly reuse: PrefixReuse;
  readonly model: string | undefined;
}

const stop: Check = (value) => {
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  const valid = texts.length <= MAX_STOPS && texts.every((item) => typeof item === "string" && item !== "");
  return valid ? undefined : `a text or up to ${MAX_STOPS} of them, none empty`;
};

const logitBias: Check = (value) => {
  const valid =
    isRecord(value) &&
    Object.entries(value).every(([id, bias]) => /^\d+$/.test(id) && within(-100, 100)(bias) === undefined);
  return valid ? undefined : "an object of token ids with a number from -100 to 100 each";
};

/** For code written for OpenAI: there is no account, store or service here that they could mean anything to. */
const WITHOUT_EFFECT: Checks = {
  model: text,
  user: anything,
  metadata: anything,
  store: anything,
  service_tier: anything,
  safety_identifier: anything,
  prompt_cache_key: anything,
  prompt_cache_retention: anything,
};

const SAMPLING: Checks = {
  temperature: within(0, 2),
  top_p: within(0, 1),
  top_k: whole(-1),
  min_p: within(0, 1),
  seed: whole(Number.MIN_SAFE_INTEGER),
  presence_penalty: within(-2, 2),
  frequency_penalty: within(-2, 2),
  repetition_penalty: positive,
  logit_bias: logitBias,
  max_tokens: whole(0),
  stop,
  n: whole(1, MAX_CHOICES),
  stream: boolean,
  stream_options: fields({ include_usage: boolean, include_obfuscation: boolean }),
  response_format: record,
  prefix_reuse: oneOf("all", "exact", "none"),
};

const CHAT: Checks = {
  messages: list,
  ...SAMPLING,
  max_completion_tokens: whole(0),
  logprobs: boolean,
  top_logprobs: whole(0, MAX_TOP_LOGPROBS),
  tools: list,
  tool_choice: anything,
  parallel_tool_calls: boolean,
  reasoning_effort: oneOf("none", "minimal", "low", "medium", "high", "xhigh", "max"),
  thinking: fields({ type: oneOf("enabled", "disabled"), budget_tokens: whole(0) }, ["type"]),
  thinking_budget: whole(0),
  chat_template: text,
  chat_template_kwargs: record,
  ...WITHOUT_EFFECT,
};

const TEXT: Checks = {
  prompt: (value) => (typeof value === "string" || Array.isArray(value) ? undefined : "a text or its token ids"),
  ...SAMPLING,
  logprobs: whole(0, MAX_TOP_LOGPROBS),
  ...WITHOUT_EFFECT,
};

const REMEDIES: Readonly<Record<string, string>> = {
  functions: "give tools",
  function_call: "give tool_choice",
  modalities: "answers are text",
  audio: "answers are text",
  prediction: "not done here",
  web_search_options: "nothing is looked up here",
  verbosity: "not done here; give a template its variables as chat_template_kwargs",
  moderation: "not done here",
  signal: "an AbortSignal; it goes into the second argument",
  echo: "the answer is the continuation alone",
  suffix: "the model only continues",
  best_of: "give n",
};

/** @throws UsageError for what is unknown or out of range. */
export function chatRequest(params: ChatCompletionCreateParamsBase): Wanted {
  checkFields(params, CHAT, REMEDIES);
  const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = params;
  if (isNumber(max_tokens) && isNumber(max_completion_tokens) && max_tokens !== max_completion_tokens) {
    throw new UsageError(
      `max_tokens is ${max_tokens} and max_completion_tokens is ${max_completion_tokens}; they mean the same, give one.`,
    );
  }
  if (isNumber(top_logprobs) && !logprobs) throw new UsageError("top_logprobs needs logprobs: true.");
  const topLogprobs = logprobs ? (top_logprobs ?? 0) : undefined;
  return wanted({ ...params, max_tokens: max_completion_tokens ?? max_tokens ?? null }, topLogprobs);
}

/** @throws UsageError for what is unknown or out of range. */
export function completionRequest(params: CompletionCreateParamsBase): Wanted {
  checkFields(params, TEXT, REMEDIES);
  if (params.prompt === undefined) throw new UsageError("prompt is missing; expected a text or its token ids.");
  return wanted(params, params.logprobs ?? undefined);
}

type Common = SamplingParams & { readonly response_format?: ChatResponseFormat };

function wanted(params: Common, topLogprobs: number | undefined): Wanted {
  if (params.stream_options && !params.stream) throw new UsageError("stream_options needs stream: true.");
  const stops = params.stop ?? [];
  return {
    temperature: params.temperature ?? 1,
    topP: params.top_p ?? 1,
    topK: Math.max(0, params.top_k ?? 0),
    minP: params.min_p ?? 0,
    seed: (params.seed ?? randomWord()) >>> 0,
    presencePenalty: params.presence_penalty ?? 0,
    frequencyPenalty: params.frequency_penalty ?? 0,
    repetitionPenalty: params.repetition_penalty ?? 1,
    logitBias: params.logit_bias ?? undefined,
    maxTokens: params.max_tokens ?? Number.POSITIVE_INFINITY,
    stop: typeof stops === "string" ? [stops] : stops,
    n: params.n ?? 1,
    topLogprobs,
    constraint: constraintOf(params.response_format ?? { type: "text" }),
    includeUsage: params.stream_options?.include_usage ?? false,
    reuse: params.prefix_reuse ?? "all",
    model: params.model,
  };
}

const FORMATS: Readonly<Record<ChatResponseFormat["type"], Check>> = {
  text: fields({ type: text }),
  json_object: fields({ type: text }),
  json_schema: fields(
    {
      type: text,
      json_schema: fields({ name: text, description: text, schema: record, strict: boolean }, ["schema"]),
    },
    ["json_schema"],
  ),
  regex: fields({ type: text, pattern: text }, ["pattern"]),
  grammar: fields({ type: text, grammar: text }, ["grammar"]),
};

function constraintOf(format: ChatResponseFormat): Constraint | undefined {
  const known = Object.hasOwn(FORMATS, format.type);
  const expected = known
    ? FORMATS[format.type](format)
    : `an object whose type is one of ${Object.keys(FORMATS).join(", ")}`;
  if (expected !== undefined)
    throw new UsageError(`response_format is ${JSON.stringify(format)}; expected ${expected}.`);
  switch (format.type) {
    case "text":
      return undefined;
    case "json_object":
      return { type: "json_object" };
    case "json_schema":
      return { type: "json_schema", schema: format.json_schema.schema ?? {} };
    case "regex":
      return { type: "regex", pattern: format.pattern };
    case "grammar":
      return { type: "ebnf", grammar: format.grammar };
  }
}

function isNumber(value: number | null | undefined): value is number {
  return typeof value === "number";
}

function randomWord(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
