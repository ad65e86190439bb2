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
      const ends = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
      found = ends.length > 0;
      const settled = found ? Math.min(...ends) : held.length - unsettledLength(held, stops);
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
