/** How answers end, in words. */
import type { AnswerState } from "./conversation.ts";

/** How an answer ended, in words; `tokens` are those of all of it. */
export function endingText(state: AnswerState, tokens: number): string {
  if (tokens === 0 && state === "stopped") return "Stopped before the first token";
  const counted = `${tokens} token${tokens === 1 ? "" : "s"}`;
  switch (state) {
    case "writing":
      return "Writing";
    case "stop":
      return `The model ended here, after ${counted}`;
    case "length":
      return `Paused after ${counted}`;
    case "full":
      return tokens === 0 ? "The context is full" : `The context was full after ${counted}`;
    case "tools":
      return `The model calls a tool, after ${counted}`;
    case "stopped":
      return `Stopped after ${counted}`;
    case "broken":
      return tokens === 0 ? "Broke off" : `Broke off after ${counted}`;
  }
}

/** What to say of a conversation of `tokens` that a context of `length` has no room for. */
export function fullText(tokens: number, length: number, canGoOn: boolean): string {
  const said = `This conversation takes ${tokens} tokens, and the context holds ${length}, the answer included.`;
  if (canGoOn)
    return `${said} It can go on with its oldest part left out: that stays here, and the model no longer sees it.`;
  return `${said} Write a shorter message, or load the model with a longer context under Settings.`;
}
