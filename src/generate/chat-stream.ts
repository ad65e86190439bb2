/**
 * Separates thoughts from answers while a turn is being written: text in pieces goes in, parts come out. A marker may
 * be split over pieces, so what could still become one is held back. Knows no tokens.
 */
import type { ChatFormat } from "../tokenizer/chat-types.ts";

/** A piece of a turn. Pieces of one kind that follow each other belong together. */
export interface ChatPart {
  /** "commentary" is what gpt-oss says beside thoughts and answer: preambles, and calls of tools. */
  readonly kind: "reasoning" | "answer" | "commentary";
  readonly text: string;
  /** Whom a call is for (`functions.get_weather`), where the message names one. */
  readonly recipient?: string;
}

/** Takes a model's text apart while it streams. Made by `createChatStream`; one for each turn. */
export interface ChatStream {
  /** Parts that `text` completed, in order, none empty. */
  push(text: string): ChatPart[];
  /** What is still held back. Call it when the turn has ended. */
  flush(): ChatPart[];
}

/** Where a turn stands: inside a text of some kind, or in the header of a message (`undefined`). */
type State = Omit<ChatPart, "text"> | undefined;

/** What to look for in a state, and what the state becomes where it is found. */
interface Grammar {
  readonly start: State;
  markers(state: State): readonly string[];
  /** @param held text since the last marker, for a header. */
  next(state: State, marker: string, held: string): State;
}

/** A header is some words; a turn without any, from a model that does not keep to the format, is an answer. */
const MAX_HEADER_LENGTH = 1024;

/**
 * Sets thoughts and answer apart while text streams, by the model's own markers.
 *
 * @param format what `Model.chatFormat` says.
 * @param thinking the turn begins inside a thought, as `ChatPrompt.thinking` says.
 */
export function createChatStream(format: Pick<ChatFormat, "kind" | "thinking">, thinking = false): ChatStream {
  const grammar = grammarOf(format, thinking);
  let state = grammar.start;
  let held = "";
  const part = (text: string): ChatPart[] => (state === undefined || text === "" ? [] : [{ ...state, text }]);
  return {
    push: (text) => {
      held += text;
      const parts: ChatPart[] = [];
      for (;;) {
        const markers = grammar.markers(state);
        const found = firstOf(held, markers);
        if (!found) break;
        const before = held.slice(0, found.at);
        parts.push(...part(before));
        state = grammar.next(state, found.marker, before);
        held = held.slice(found.at + found.marker.length);
      }
      if (state === undefined && held.length > MAX_HEADER_LENGTH) state = { kind: "answer" };
      // A header is not given out at all; of a text, what cannot become a marker any more.
      if (state === undefined) return parts;
      const settled = held.length - unsettledLength(held, grammar.markers(state));
      parts.push(...part(held.slice(0, settled)));
      held = held.slice(settled);
      return parts;
    },
    flush: () => {
      const rest = part(held);
      held = "";
      return rest;
    },
  };
}

function grammarOf({ kind, thinking: markers }: Pick<ChatFormat, "kind" | "thinking">, thinking: boolean): Grammar {
  if (kind === "channels") return CHANNELS;
  const reasoning: State = { kind: "reasoning" };
  const answer: State = { kind: "answer" };
  if (kind === "plain" || !markers) return { start: answer, markers: () => [], next: (state) => state };
  const isThought = (state: State): boolean => state?.kind === "reasoning";
  return {
    start: thinking ? reasoning : answer,
    markers: (state) => [isThought(state) ? markers.close : markers.open],
    next: (state) => (isThought(state) ? answer : reasoning),
  };
}

/** Messages of gpt-oss: `<|channel|>NAME to=WHOM<|message|>TEXT<|end|>`, the next after `<|start|>assistant`. */
const CHANNELS: Grammar = {
  start: undefined,
  markers: (state) =>
    state === undefined ? ["<|message|>"] : ["<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>"],
  next: (state, _, header) => {
    if (state !== undefined) return undefined;
    const recipient = /\bto=([^\s<]+)/.exec(header)?.[1];
    const name = /(?:^|<\|channel\|>)\s*(analysis|final|commentary)\b/.exec(header)?.[1];
    if (name === "analysis" && recipient === undefined) return { kind: "reasoning" };
    if (name === "commentary" || recipient !== undefined) {
      return recipient === undefined ? { kind: "commentary" } : { kind: "commentary", recipient };
    }
    return { kind: "answer" };
  },
};

/** The marker that comes first in `text`. */
function firstOf(text: string, markers: readonly string[]): { at: number; marker: string } | undefined {
  const found = markers.map((marker) => ({ marker, at: text.indexOf(marker) })).filter(({ at }) => at >= 0);
  return found.sort((a, b) => a.at - b.at)[0];
}

/** How many characters at the end of `text` could be the beginning of a marker. */
export function unsettledLength(text: string, markers: readonly string[]): number {
  const longest = Math.max(0, ...markers.map((marker) => marker.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(-length);
    if (markers.some((marker) => marker.startsWith(end))) return length;
  }
  return 0;
}
