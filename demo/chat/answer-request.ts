/** What the page asks of the model: the messages being read, the settings, and how an answer's pieces are taken up. */
import type { ChatCompletionChunk, ChatUsage } from "../../src/index.ts";
import type { Sampling } from "../settings/settings.ts";
import type { Answer, Message } from "./conversation.ts";

/** Joins what was written, for a model that continues text: nothing is put in between. */
export const PROSE_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}";

/** The chat's own limit, where the settings allow more. */
const MAX_TEMPERATURE = 2;

export interface RequestMessage {
  role: "user" | "assistant";
  content: string;
}

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

/** An answer as it grows; `before` is what it goes on from. */
export class AnswerDraft {
  content: string;
  reasoning: string;
  calls: { name: string; arguments: string }[] = [];
  thoughtMs: number | null;
  finish: "stop" | "length" | "tool_calls" | null = null;
  usage: ChatUsage | null = null;
  /** Chunks with something in them; a token each, or a little less. */
  pieces = 0;
  firstAt: number | null = null;
  lastAt = 0;
  readonly #startedAt: number;
  #thinkingSince: number | null = null;

  constructor(before: Pick<Answer, "content" | "reasoning" | "thoughtMs">, now: number) {
    this.content = before.content;
    this.reasoning = before.reasoning;
    this.thoughtMs = before.thoughtMs;
    this.#startedAt = now;
  }

  take(chunk: ChatCompletionChunk, now: number): void {
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices[0];
    if (!choice) return;
    this.finish = choice.finish_reason ?? this.finish;
    const { content = "", reasoning_content = "", tool_calls = [] } = choice.delta;
    if (content === "" && reasoning_content === "" && tool_calls.length === 0) return;
    this.firstAt ??= now;
    this.lastAt = now;
    this.pieces += 1;
    if (reasoning_content !== "") this.#thinkingSince ??= now;
    else this.#endThought(now);
    this.content += content;
    this.reasoning += reasoning_content;
    for (const call of tool_calls) this.#takeCall(call);
  }

  /** Nothing more comes. */
  end(now: number): void {
    this.#endThought(now);
  }

  get firstTokenMs(): number {
    return this.firstAt === null ? 0 : this.firstAt - this.#startedAt;
  }

  /** How fast pieces came after the first one. */
  get piecesPerSecond(): number {
    const ms = this.firstAt === null ? 0 : this.lastAt - this.firstAt;
    return ms > 0 ? ((this.pieces - 1) * 1000) / ms : 0;
  }

  #endThought(now: number): void {
    if (this.#thinkingSince === null) return;
    this.thoughtMs = (this.thoughtMs ?? 0) + now - this.#thinkingSince;
    this.#thinkingSince = null;
  }

  #takeCall({ index, function: called }: NonNullable<ChatCompletionChunk["choices"][0]["delta"]["tool_calls"]>[number]) {
    const call = this.calls[index] ?? { name: "", arguments: "" };
    call.name += called?.name ?? "";
    call.arguments += called?.arguments ?? "";
    this.calls[index] = call;
  }
}
