/** What the page asks of the model: the messages being read, and the settings, as the chat API has them. */
import type { Sampling } from "../settings/settings.ts";
import type { Message } from "./conversation.ts";

/** The chat's own limit, where the settings allow more. */
const MAX_TEMPERATURE = 2;

export type RequestMessage = { role: "user" | "assistant"; content: string };

/** The messages of a chat; an answer without text says nothing. Thoughts of earlier turns are left out, as templates do. */
export function chatMessages(path: readonly Message[]): RequestMessage[] {
  return path.filter(({ content }) => content !== "").map(({ role, content }) => ({ role, content }));
}

/** The same for a story: what the reader adds begins behind a space, unless there is white space already. */
export function proseMessages(path: readonly Message[]): RequestMessage[] {
  let before = "";
  return chatMessages(path).map(({ role, content }) => {
    const apart = role === "user" && before !== "" && !/\s$/.test(before) && !/^\s/.test(content);
    before = content;
    return { role, content: apart ? ` ${content}` : content };
  });
}

export function samplingParams(sampling: Sampling, seed: number) {
  return {
    temperature: Math.min(sampling.temperature, MAX_TEMPERATURE),
    top_p: sampling.topP,
    top_k: sampling.topK,
    max_tokens: sampling.maxTokens,
    seed,
  };
}
