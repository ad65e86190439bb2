/**
 * Only compiled: answers are what code written for the `openai` package takes, and its requests are taken here as far as
 * Octavo has the fields.
 */
import type OpenAI from "openai";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParamsBase,
  ChatCompletionMessageParam,
  ChatTool,
  ChatToolChoice,
  Completion,
  CompletionCreateParamsBase,
  Model,
  ResponseStream,
} from "../../src/index.ts";

type Theirs = OpenAI.Chat.Completions.ChatCompletionCreateParams;
/** Fields that mean something here too. */
type Shared = Extract<keyof Theirs, keyof ChatCompletionCreateParamsBase>;
type Assert<Source extends Target, Target> = Source;

export type Answers = [
  Assert<ChatCompletion, OpenAI.ChatCompletion>,
  Assert<ChatCompletionChunk, OpenAI.ChatCompletionChunk>,
  Assert<Completion, OpenAI.Completion>,
  Assert<ChatCompletion["usage"], OpenAI.CompletionUsage>,
  // What was answered is what the next request says.
  Assert<ChatCompletion["choices"][number]["message"], ChatCompletionMessageParam>,
  Assert<ChatCompletion["choices"][number]["message"], OpenAI.ChatCompletionMessageParam>,
];

export type Requests = [
  Assert<ChatCompletionMessageParam, OpenAI.ChatCompletionMessageParam>,
  Assert<OpenAI.ChatCompletionSystemMessageParam, ChatCompletionMessageParam>,
  Assert<OpenAI.ChatCompletionDeveloperMessageParam, ChatCompletionMessageParam>,
  Assert<OpenAI.ChatCompletionToolMessageParam, ChatCompletionMessageParam>,
  Assert<OpenAI.ChatCompletionFunctionTool, ChatTool>,
  Assert<OpenAI.ChatCompletionNamedToolChoice, ChatToolChoice>,
  Assert<Omit<ChatCompletionCreateParamsBase["messages"][number], never>, object>,
  Assert<
    Omit<Pick<Theirs, Shared>, "messages" | "tools" | "tool_choice">,
    Partial<Omit<ChatCompletionCreateParamsBase, "messages" | "tools" | "tool_choice">>
  >,
  Assert<
    Pick<OpenAI.CompletionCreateParams, "temperature" | "top_p" | "seed" | "stop" | "n" | "max_tokens" | "logit_bias">,
    Partial<CompletionCreateParamsBase>
  >,
];

/** The fields of OpenAI that are not done: a new one shows up here. */
type Refused = Exclude<keyof Theirs, keyof ChatCompletionCreateParamsBase>;
export const refused: Record<Refused, true> = {
  audio: true,
  function_call: true,
  functions: true,
  modalities: true,
  moderation: true,
  prediction: true,
  prompt_cache_options: true,
  verbosity: true,
  web_search_options: true,
};

export async function calls(model: Model): Promise<void> {
  const messages: ChatCompletionMessageParam[] = [{ role: "user", content: "Hi" }];
  const whole: ChatCompletion = await model.chat.completions.create({ messages });
  const stream: ResponseStream<ChatCompletionChunk> = await model.chat.completions.create({ messages, stream: true });
  for await (const chunk of stream) chunk.choices[0]?.delta.reasoning_content satisfies string | undefined;
  whole.usage.octavo?.expertsFetched satisfies number | undefined;
  // Either kind, where the caller does not know which it will be.
  const either = await model.chat.completions.create({ messages, stream: Math.random() > 0.5 });
  if ("choices" in either) either.choices satisfies ChatCompletion["choices"];
  else either.controller satisfies AbortController;
  const { signal } = new AbortController();
  await model.chat.completions.create({ messages, signal }, { signal });
  (await model.complete("Once", { max_tokens: 3 })) satisfies Completion;
  for await (const piece of await model.complete({ prompt: [1, 2], stream: true }))
    piece.choices[0]?.text satisfies string | undefined;
  // @ts-expect-error a field that nobody knows
  await model.chat.completions.create({ messages, temperatur: 1 });
  // @ts-expect-error a role that is none
  await model.chat.completions.create({ messages: [{ role: "bot", content: "a" }] });
  // @ts-expect-error the answer has no such part
  whole.choices[0]?.message.audio;
}
