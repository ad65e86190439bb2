/** An answer as it grows, from the pieces that come: text, thought and calls apart, and when what came. */
import type { ChatDelta, ChatUsage } from "../../src/index.ts";
import type { AnswerChunk } from "./answer-stream.ts";
import type { Answer, Figures } from "./conversation.ts";

type CallDelta = NonNullable<ChatDelta["tool_calls"]>[number];

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
  readonly #before: Figures | null;
  readonly #startedAt: number;
  #thinkingSince: number | null = null;

  /** @param before what it goes on from. */
  constructor(before: Pick<Answer, "content" | "reasoning" | "thoughtMs" | "figures">, now: number) {
    this.#before = before.figures;
    this.content = before.content;
    this.reasoning = before.reasoning;
    this.thoughtMs = before.thoughtMs;
    this.#startedAt = now;
  }

  take(chunk: AnswerChunk, now: number): void {
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

  /** What there is of the answer. */
  said(): Pick<Answer, "content" | "reasoning" | "thoughtMs" | "calls"> {
    const { content, reasoning, thoughtMs, calls } = this;
    return { content, reasoning, thoughtMs, calls: calls.map((call) => ({ ...call })) };
  }

  /** Nothing more comes. */
  end(now: number): void {
    this.#endThought(now);
  }

  /** What the answer took; of one that was cut off, as far as the pieces tell. */
  figures(seed: number | null): Figures {
    const { usage, firstAt, pieces } = this;
    const ms = firstAt === null ? 0 : this.lastAt - firstAt;
    return {
      tokens: (this.#before?.tokens ?? 0) + (usage?.completion_tokens ?? pieces),
      promptTokens: usage?.prompt_tokens ?? 0,
      cachedTokens: usage?.prompt_tokens_details.cached_tokens ?? 0,
      tokensPerSecond: ms > 0 ? ((usage?.completion_tokens ?? pieces) - 1) / (ms / 1000) : 0,
      firstTokenMs: firstAt === null ? 0 : firstAt - this.#startedAt,
      seed,
    };
  }

  #endThought(now: number): void {
    if (this.#thinkingSince === null) return;
    this.thoughtMs = (this.thoughtMs ?? 0) + now - this.#thinkingSince;
    this.#thinkingSince = null;
  }

  #takeCall({ index, function: called }: CallDelta): void {
    const call = this.calls[index] ?? { name: "", arguments: "" };
    call.name += called?.name ?? "";
    call.arguments += called?.arguments ?? "";
    this.calls[index] = call;
  }
}
