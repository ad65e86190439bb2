/** What the page asks of the model: the messages being read, and the settings, as the chat API has them. */
import type { Sampling, Settings } from "../settings/settings.ts";
import type { Message } from "./conversation.ts";

export type RequestMessage = { role: "system" | "user" | "assistant"; content: string };

/** The messages of a chat; an answer without text says nothing. Thoughts of earlier turns are left out, as templates do. */
export function chatMessages(path: readonly Message[], systemPrompt: string): RequestMessage[] {
  const said = path.filter(({ content }) => content !== "").map(({ role, content }) => ({ role, content }));
  return systemPrompt.trim() === "" ? said : [{ role: "system", content: systemPrompt }, ...said];
}

/** The same for a story: what the reader adds begins behind a space, unless there is white space already. */
export function proseMessages(path: readonly Message[]): RequestMessage[] {
  let before = "";
  return chatMessages(path, "").map(({ role, content }) => {
    const apart = role === "user" && before !== "" && !/\s$/.test(before) && !/^\s/.test(content);
    before = content;
    return { role, content: apart ? ` ${content}` : content };
  });
}

export function samplingParams(sampling: Sampling, seed: number) {
  return {
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK,
    min_p: sampling.minP,
    presence_penalty: sampling.presencePenalty,
    frequency_penalty: sampling.frequencyPenalty,
    repetition_penalty: sampling.repetitionPenalty,
    max_tokens: sampling.maxTokens,
    seed,
  };
}

/** How a model that thinks is to do so; what the settings leave to the model is left out. */
export function thinkingParams({ thinkingBudget, reasoningEffort }: Settings) {
  return {
    ...(thinkingBudget === null ? {} : { thinking_budget: thinkingBudget }),
    ...(reasoningEffort === "default" ? {} : { reasoning_effort: reasoningEffort }),
  };
}

/** The same as the variables that a chat template knows, as the chat API gives them to it. */
export function templateVariables(settings: Settings): Readonly<Record<string, unknown>> {
  const { thinking_budget: budget, reasoning_effort: effort } = thinkingParams(settings);
  if (budget === 0) return { enable_thinking: false, thinking: false };
  if (budget === undefined && effort === undefined) return {};
  return { enable_thinking: true, thinking: true, ...(effort === undefined ? {} : { reasoning_effort: effort }) };
}
