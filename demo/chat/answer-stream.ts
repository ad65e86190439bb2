/**
 * The pieces of an answer, as the model gives them: a reply to a chat, a story that goes on, or the rest of a reply that
 * was cut off. A model without a chat template continues text, and so does its conversation.
 */
import { type ChatCompletionChunk, type ChatFormat, createChatStream, type Model } from "../../src/index.ts";
import type { Settings } from "../settings/settings.ts";
import { chatMessages, proseMessages, samplingParams, templateVariables, thinkingParams } from "./answer-request.ts";
import type { Answer, Message } from "./conversation.ts";

/** Joins what was written, for a model that continues text: nothing is put in between. */
const PROSE_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}";

/** What is to be answered, and how. */
export interface AnswerRequest {
  /** From the first message that is shown to the one that is answered; with `before` set, to the answer that goes on. */
  readonly path: readonly Message[];
  /** The answer that goes on, as far as it is there. */
  readonly before: Answer | null;
  readonly prose: boolean;
  readonly settings: Settings;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** What of a chunk the page reads. */
export type AnswerChunk = Pick<ChatCompletionChunk, "choices" | "usage">;

/** @throws what the model throws; `AbortError` within one step of the signal. */
export async function* answerChunks(
  model: Model,
  request: AnswerRequest,
): AsyncGenerator<AnswerChunk, void, undefined> {
  const { before, prose, path, settings, signal } = request;
  if (before && !prose) {
    yield* restOfReply(model, before, request);
    return;
  }
  const params = {
    messages: prose ? proseMessages(path) : chatMessages(path, settings.systemPrompt),
    stream: true,
    stream_options: { include_usage: true },
    ...samplingParams(settings, request.seed),
    ...(prose ? { chat_template: await proseTemplate(model) } : thinkingParams(settings)),
  } as const;
  yield* await model.chat.completions.create(params, { signal });
}

/** Tokens that the model is given to answer a request, its own words of an answer that goes on among them. */
export async function promptLength(
  model: Model,
  { before, prose, path, settings }: Pick<AnswerRequest, "before" | "prose" | "path" | "settings">,
): Promise<number> {
  if (before && !prose) return (await begunReply(model, before, path, settings)).ids.length;
  const prompt = prose
    ? await model.chatPrompt(proseMessages(path), { template: await proseTemplate(model) })
    : await model.chatPrompt(chatMessages(path, settings.systemPrompt), { variables: templateVariables(settings) });
  return prompt.ids.length;
}

/** Whether `reply` can go on where it ended: what follows it must be what would have followed then. */
export function canGoOn(format: ChatFormat["kind"], reply: Answer): boolean {
  return reply.prose || (format !== "channels" && reply.calls.length === 0);
}

/** A model that wants a token before every text gets it before the story too. */
async function proseTemplate(model: Model): Promise<string> {
  const begins = (await model.encode("")).length > 0;
  return begins ? `{{ bos_token }}${PROSE_TEMPLATE}` : PROSE_TEMPLATE;
}

/** What comes behind what is there of `before`, thought and answer apart. */
async function* restOfReply(
  model: Model,
  before: Answer,
  { path, settings, seed, signal }: AnswerRequest,
): AsyncGenerator<AnswerChunk, void, undefined> {
  const { ids, format, inThought } = await begunReply(model, before, path, settings);
  const parts = createChatStream(format, inThought);
  const options = { stream: true, stream_options: { include_usage: true }, ...samplingParams(settings, seed) } as const;
  for await (const { choices, usage } of await model.complete(ids, { ...options, signal })) {
    const choice = choices[0];
    const ended = choice !== undefined && choice.finish_reason !== null;
    const deltas = [...parts.push(choice?.text ?? ""), ...(ended ? parts.flush() : [])];
    for (const { kind, text } of deltas) {
      yield chunk(kind === "reasoning" ? { reasoning_content: text } : { content: text }, null);
    }
    if (ended) yield chunk({}, choice.finish_reason);
    if (usage) yield { choices: [], usage };
  }
}

/** The prompt of `before`, and behind it what was written of it, as the model wrote it. */
async function begunReply(
  model: Model,
  before: Answer,
  path: readonly Message[],
  settings: Settings,
): Promise<{ ids: number[]; format: ChatFormat; inThought: boolean }> {
  const format = await model.chatFormat();
  const variables = templateVariables(settings);
  const prompt = await model.chatPrompt(chatMessages(path.slice(0, -1), settings.systemPrompt), { variables });
  const plain = (text: string) => model.encode(text, { addSpecial: false });
  const marker = (text: string) => model.encode(text, { addSpecial: false, allowSpecial: true });
  const ids = [...prompt.ids];
  const { open = "", close = "" } = format.thinking ?? {};
  const thought = before.reasoning !== "" || prompt.thinking;
  if (thought && !prompt.thinking) ids.push(...(await marker(open)));
  ids.push(...(await plain(before.reasoning)));
  const inThought = thought && before.content === "";
  // Space around the marker is no part of thought or answer; it is put back as models and budgets write it.
  if (thought && !inThought) ids.push(...(await plain("\n")), ...(await marker(close)), ...(await plain("\n\n")));
  ids.push(...(await plain(before.content)));
  return { ids, format, inThought };
}

function chunk(
  delta: ChatCompletionChunk["choices"][number]["delta"],
  finish_reason: "stop" | "length" | null,
): AnswerChunk {
  return { choices: [{ index: 0, delta, finish_reason, logprobs: null }] };
}
