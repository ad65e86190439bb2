/**
 * One answer while it is written: ids go in, pieces of answer, thought and calls come out. A chain of readers, each holding
 * back what it cannot tell yet: ids to characters, thought from answer, calls of tools, texts that end the answer.
 */
import type { ChatPart, ChatStream } from "../generate/chat-stream.ts";
import type { StreamDecoder } from "../tokenizer/tokenizer.ts";
import { createStopText, type StopText } from "./stop-text.ts";

/** A piece of an answer. */
export type Delta =
  | { readonly kind: "content" | "reasoning"; readonly text: string }
  | { readonly kind: "call"; readonly name: string; readonly arguments: string };

/** Finds calls of tools in the text of an answer. */
export interface CallReader {
  /** A block of calls has been opened, and nothing stands in it yet. */
  readonly begun: boolean;
  push(part: ChatPart): Delta[];
  flush(): Delta[];
}

export interface TurnParts {
  readonly decoder: StreamDecoder;
  readonly stream: ChatStream;
  /** Absent: nothing is a call. */
  readonly calls?: CallReader | undefined;
  readonly stop: readonly string[];
  /** The turn begins inside a thought. */
  readonly thinking: boolean;
  /** End after the first call. */
  readonly oneCall?: boolean | undefined;
  /** What the turn begins with, where that stands in the prompt already. */
  readonly begin?: string | undefined;
}

export class Turn {
  /** Tokens of thoughts so far, their markers included. */
  reasoningTokens = 0;
  /** Text of the turn so far as the model wrote it, in UTF-16 units: where the next token begins. */
  rawLength = 0;
  calls = 0;
  readonly #parts: TurnParts;
  readonly #stop: StopText;
  #kind: ChatPart["kind"];
  #thought = false;
  #answered = false;
  /** White space at the end of a thought, which nothing followed yet. */
  #space = "";

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.#stop = createStopText(parts.stop);
    this.#kind = parts.thinking ? "reasoning" : "answer";
    for (const part of parts.stream.push(parts.begin ?? "")) this.#read(part);
  }

  /** A call begins with the next token. */
  get callBegun(): boolean {
    return this.#parts.calls?.begun ?? false;
  }

  /** A text that ends the answer was found, or the one call that was wanted: nothing more is to be drawn. */
  get ended(): boolean {
    return this.#stop.found || (this.#parts.oneCall === true && this.calls > 0);
  }

  push(id: number): Delta[] {
    const text = this.#parts.decoder.push(id);
    this.rawLength += text.length;
    const parts = this.#parts.stream.push(text);
    this.#kind = parts.at(-1)?.kind ?? this.#kind;
    if (this.#kind === "reasoning") this.reasoningTokens += 1;
    return parts.flatMap((part) => this.#read(part));
  }

  /** What is left when the model has ended the turn, or its tokens are used up. */
  end(): Delta[] {
    const { decoder, stream, calls } = this.#parts;
    const parts = [...stream.push(decoder.flush()), ...stream.flush()].flatMap((part) => this.#read(part));
    const rest = (calls?.flush() ?? []).flatMap((delta) => this.#given(delta));
    const held = this.#content(this.#stop.found ? "" : this.#stop.flush());
    return [...parts, ...rest, ...held];
  }

  #read(part: ChatPart): Delta[] {
    if (this.ended) return [];
    if (part.kind === "reasoning") return this.#reasoning(part.text);
    const deltas: Delta[] = this.#parts.calls?.push(part) ?? [{ kind: "content", text: part.text }];
    return deltas.flatMap((delta) => this.#given(delta));
  }

  #given(delta: Delta): Delta[] {
    if (this.ended) return [];
    if (delta.kind === "content") return this.#content(this.#stop.push(delta.text));
    if (delta.kind === "reasoning") return [delta];
    this.calls += 1;
    return [...this.#content(this.#stop.flush()), delta];
  }

  /** White space around a thought belongs to its markers. */
  #reasoning(text: string): Delta[] {
    const whole = this.#space + text;
    const kept = whole.trimEnd();
    this.#space = whole.slice(kept.length);
    const shown = this.#thought ? kept : kept.trimStart();
    if (kept === "" || shown === "") return [];
    this.#thought = true;
    return [{ kind: "reasoning", text: shown }];
  }

  /** The line breaks between a thought and the answer are neither's. */
  #content(text: string): Delta[] {
    const shown = this.#thought && !this.#answered ? text.trimStart() : text;
    if (shown === "") return [];
    this.#answered = true;
    return [{ kind: "content", text: shown }];
  }
}
