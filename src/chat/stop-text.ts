/** Finds the texts that end an answer, wherever the pieces it comes in are cut. Knows no tokens. */
import { unsettledLength } from "../generate/chat-stream.ts";

export interface StopText {
  /** The text that can be given out now. After a stop was found it is what stood before that, and nothing ever after. */
  push(text: string): string;
  /** What is still held back, for it could have become a stop. Call it when the answer has ended otherwise. */
  flush(): string;
  readonly found: boolean;
}

/** @param stops texts that end the answer, none empty. */
export function createStopText(stops: readonly string[]): StopText {
  let held = "";
  let found = false;
  return {
    get found() {
      return found;
    },
    push: (text) => {
      if (found) return "";
      held += text;
      const at = firstComplete(held, stops);
      found = at !== undefined;
      const settled = at ?? held.length - unsettledLength(held, stops);
      const given = held.slice(0, settled);
      held = found ? "" : held.slice(settled);
      return given;
    },
    flush: () => {
      const rest = held;
      held = "";
      return rest;
    },
  };
}

/** Where the stop begins that is complete before all others, so that it does not matter how the text was cut. */
function firstComplete(text: string, stops: readonly string[]): number | undefined {
  const found = stops.flatMap((stop) => {
    const start = text.indexOf(stop);
    return start < 0 ? [] : [{ start, end: start + stop.length }];
  });
  return found.sort((a, b) => a.end - b.end || a.start - b.start)[0]?.start;
}
