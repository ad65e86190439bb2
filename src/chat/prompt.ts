/** Prompts in ids: a conversation through the model's template, or a text as it is; and how the answer is to be read. */
import { UnsupportedError, UsageError } from "../errors.ts";
import { createChatStream } from "../generate/chat-stream.ts";
import { chatFormat } from "../tokenizer/chat-format.ts";
import type { ChatFormat } from "../tokenizer/chat-types.ts";
import type { ModelTokenizer } from "../tokenizer/load.ts";
import { show } from "../util/show.ts";
import { templateMessages } from "./messages.ts";
import type { ChatCompletionCreateParamsBase, CompletionCreateParamsBase } from "./openai-types.ts";
import type { Wanted } from "./request.ts";
import type { Prompt } from "./respond.ts";
import { Turn } from "./turn.ts";

/** @throws UsageError for ids that are none. Those beyond the vocabulary are refused by the session. */
export function textPromptOf(
  tokenizer: ModelTokenizer,
  stopIds: readonly number[],
  { prompt }: CompletionCreateParamsBase,
  { stop }: Wanted,
): Prompt {
  const ids = typeof prompt === "string" ? tokenizer.encode(prompt) : prompt;
  const wrong = ids.find((id: unknown) => !Number.isSafeInteger(id) || Number(id) < 0);
  if (wrong !== undefined) throw new UsageError(`prompt holds ${show(wrong)}; expected token ids, or one text.`);
  const turn = (): Turn =>
    new Turn({
      decoder: tokenizer.createStreamDecoder(ids),
      stream: createChatStream({ kind: "plain" }),
      stop,
      thinking: false,
    });
  return { ids, stopIds, turn };
}

/** @throws UnsupportedError without a template; UsageError for messages that are none or that the template refuses. */
export async function chatPromptOf(
  tokenizer: ModelTokenizer,
  stopIds: readonly number[],
  params: ChatCompletionCreateParamsBase,
  { stop }: Wanted,
): Promise<Prompt> {
  const { format, template } = formatOf(tokenizer, params.chat_template ?? undefined);
  const messages = templateMessages(params.messages, { template });
  const prompt = await tokenizer.chatPrompt(messages, {
    ...(params.chat_template ? { template } : {}),
    ...(params.chat_template_kwargs ? { variables: params.chat_template_kwargs } : {}),
  });
  const { ids, thinking } = prompt;
  const turn = (): Turn =>
    new Turn({
      decoder: tokenizer.createStreamDecoder(ids),
      stream: createChatStream(format, thinking),
      stop,
      thinking,
    });
  return { ids, stopIds, turn };
}

/** The format that the template of this request writes; one that came with the request may mark thoughts in its own way. */
function formatOf(tokenizer: ModelTokenizer, given: string | undefined): { format: ChatFormat; template: string } {
  if (given !== undefined) {
    return {
      format: chatFormat(tokenizer, new Map([["default", given]]), tokenizer.chatFormat.stopIds),
      template: given,
    };
  }
  if (!tokenizer.chatFormat.hasTemplate) {
    throw new UnsupportedError(
      "This model has no chat template: it continues text. Give a Jinja template as chat_template, or use model.complete.",
    );
  }
  return { format: tokenizer.chatFormat, template: [...tokenizer.chatTemplates.values()].join("\n") };
}
