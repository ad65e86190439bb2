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
import { thinkingSettings, wantedThinking } from "./thinking.ts";
import { toolUse, wantedTools } from "./tools.ts";
import { Turn } from "./turn.ts";

/** @throws UsageError for ids that are none. Those beyond the vocabulary are refused by the session. */
export function textPromptOf(
  tokenizer: ModelTokenizer,
  { prompt }: CompletionCreateParamsBase,
  { stop, constraint }: Wanted,
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
  return { ids, constraint, turn };
}

/** @throws UnsupportedError without a template; UsageError for messages that are none or that the template refuses. */
export async function chatPromptOf(
  tokenizer: ModelTokenizer,
  params: ChatCompletionCreateParamsBase,
  { stop, constraint }: Wanted,
): Promise<Prompt> {
  const { format, template } = formatOf(tokenizer, params.chat_template ?? undefined);
  const specials = [...tokenizer.specials, ...tokenizer.userDefined].map(({ content }) => content);
  const wanted = wantedTools(params);
  const tools = wanted && toolUse(wanted, template, specials, format);
  if (tools && constraint) {
    throw new UsageError(
      'response_format holds the answer, and tools want calls in it; give one, or tool_choice "none".',
    );
  }
  const thinking = wantedThinking(params, format, template);
  const prompt = await tokenizer.chatPrompt(templateMessages(params.messages, { template }), {
    ...(params.chat_template ? { template } : {}),
    ...(wanted ? { tools: wanted.tools.map((tool) => ({ ...tool })) } : {}),
    variables: { ...thinking.variables, ...params.chat_template_kwargs },
  });
  const encode = (text: string): number[] =>
    text === "" ? [] : tokenizer.encode(text, { addSpecial: false, allowSpecial: true });
  const held = tools?.forced?.constraint ?? constraint;
  const lead = tools?.forced?.lead ?? "";
  const inside = prompt.thinking;
  const settings = thinkingSettings(format, encode, {
    inside,
    budget: thinking.budget,
    held: held !== undefined,
    lead,
  });
  // Where no thought may come first, what leads to a call is part of the prompt.
  const begin = settings ? "" : lead;
  const ids = [...prompt.ids, ...encode(begin)];
  const turn = (): Turn =>
    new Turn({
      decoder: tokenizer.createStreamDecoder(ids),
      stream: createChatStream(format, inside),
      calls: tools?.reader(),
      oneCall: tools?.oneCall,
      stop,
      thinking: inside,
      begin,
    });
  return { ids, constraint: held, thinking: settings, strictCall: tools?.strict, turn };
}

/** The format that the template of this request writes; one that came with the request may mark thoughts in its own way. */
function formatOf(tokenizer: ModelTokenizer, given: string | undefined): { format: ChatFormat; template: string } {
  if (given !== undefined) {
    const { stopIds } = tokenizer.chatFormat;
    return { format: chatFormat(tokenizer, new Map([["default", given]]), stopIds), template: given };
  }
  if (!tokenizer.chatFormat.hasTemplate) {
    throw new UnsupportedError(
      "This model has no chat template: it continues text. Give a Jinja template as chat_template, or use model.complete.",
      { code: "no-chat-template" },
    );
  }
  return { format: tokenizer.chatFormat, template: [...tokenizer.chatTemplates.values()].join("\n") };
}
