/** Pieces of answers in the shapes of OpenAI's client: chunks of a stream, and whole answers made of them. */
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatDelta,
  ChatTokenLogprob,
  ChatUsage,
  Completion,
  CompletionChunk,
  CompletionLogprobs,
  TokenLogprob,
} from "./openai-types.ts";
import type { Piece, PlacedToken, Usage } from "./respond.ts";

/** What stands at the head of an answer and of all its chunks. */
export interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** What makes chunks of pieces; one for each response. */
export interface ChunkMaker<Chunk, Whole> {
  /** The chunks of a piece, in order. */
  chunks(piece: Piece): Chunk[];
  /** The chunk that tells what the response took, without choices. */
  usage(usage: Usage): Chunk;
  whole(pieces: readonly Piece[], n: number, usage: Usage): Whole;
}

/** What log-probabilities need of the tokenizer. */
export interface TokenNames {
  decode(ids: readonly number[]): string;
  /** Bytes that a token spells; `undefined` for special ones. */
  bytesOf(id: number): Uint8Array | undefined;
}

export function chatChunks(
  head: Head,
  withLogprobs: boolean,
  names: TokenNames,
  callId: () => string,
): ChunkMaker<ChatCompletionChunk, ChatCompletion> {
  const object = "chat.completion.chunk";
  const begun = new Set<number>();
  const calls = new Map<number, number>();
  const deltaOf = ({ index, delta }: Piece): ChatDelta => {
    if (!delta) return {};
    if (delta.kind !== "call")
      return delta.kind === "content" ? { content: delta.text } : { reasoning_content: delta.text };
    const number = calls.get(index) ?? 0;
    calls.set(index, number + 1);
    const { name, arguments: json } = delta;
    return { tool_calls: [{ index: number, id: callId(), type: "function", function: { name, arguments: json } }] };
  };
  const logprobsOf = (tokens: readonly PlacedToken[]) =>
    withLogprobs ? { content: tokens.map((token) => chatLogprob(token, names)), refusal: null } : null;
  const make = (index: number, delta: ChatDelta, piece?: Piece): ChatCompletionChunk => ({
    ...head,
    object,
    choices: [
      { index, delta, finish_reason: piece?.finish ?? null, logprobs: piece ? logprobsOf(piece.tokens) : null },
    ],
  });
  return {
    chunks: (piece) => {
      const first = begun.has(piece.index) ? [] : [make(piece.index, { role: "assistant", content: "" })];
      begun.add(piece.index);
      return [...first, make(piece.index, deltaOf(piece), piece)];
    },
    usage: (usage) => ({ ...head, object, choices: [], usage: usageOf(usage) }),
    whole: (pieces, n, usage) => ({
      ...head,
      object: "chat.completion",
      choices: Array.from({ length: n }, (_, index) => {
        const own = pieces.filter((piece) => piece.index === index);
        const text = (kind: "content" | "reasoning") =>
          own.map(({ delta }) => (delta?.kind === kind ? delta.text : "")).join("");
        const called = own.flatMap(({ delta }) => (delta?.kind === "call" ? [delta] : []));
        const [content, reasoning] = [text("content"), text("reasoning")];
        return {
          index,
          message: {
            role: "assistant" as const,
            content: content === "" && called.length > 0 ? null : content,
            refusal: null,
            ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
            ...(called.length === 0
              ? {}
              : {
                  tool_calls: called.map((call) => ({
                    id: callId(),
                    type: "function" as const,
                    function: { name: call.name, arguments: call.arguments },
                  })),
                }),
          },
          finish_reason: own.at(-1)?.finish ?? "stop",
          logprobs: logprobsOf(own.flatMap(({ tokens }) => tokens)),
        };
      }),
      usage: usageOf(usage),
    }),
  };
}

export function textChunks(
  head: Head,
  withLogprobs: boolean,
  names: TokenNames,
): ChunkMaker<CompletionChunk, Completion> {
  const object = "text_completion";
  const textOf = ({ delta }: Piece): string => (delta?.kind === "content" ? delta.text : "");
  const logprobsOf = (tokens: readonly PlacedToken[]) => (withLogprobs ? textLogprobs(tokens, names) : null);
  const finishOf = ({ finish }: Piece) => (finish === "length" ? "length" : finish && "stop");
  return {
    chunks: (piece) => [
      {
        ...head,
        object,
        choices: [
          {
            index: piece.index,
            text: textOf(piece),
            finish_reason: finishOf(piece) ?? null,
            logprobs: logprobsOf(piece.tokens),
          },
        ],
      },
    ],
    usage: (usage) => ({ ...head, object, choices: [], usage: usageOf(usage) }),
    whole: (pieces, n, usage) => ({
      ...head,
      object,
      choices: Array.from({ length: n }, (_, index) => {
        const own = pieces.filter((piece) => piece.index === index);
        const last = own.at(-1);
        return {
          index,
          text: own.map(textOf).join(""),
          finish_reason: (last && finishOf(last)) ?? "stop",
          logprobs: logprobsOf(own.flatMap(({ tokens }) => tokens)),
        };
      }),
      usage: usageOf(usage),
    }),
  };
}

function usageOf(usage: Usage): ChatUsage {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens, stats } = usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
    octavo: stats,
  };
}

function tokenLogprob(id: number, logprob: number, names: TokenNames): TokenLogprob {
  const bytes = names.bytesOf(id);
  return { token: spelling(id, names), logprob, bytes: bytes ? [...bytes] : null };
}

function chatLogprob({ id, logprob = 0, top = [] }: PlacedToken, names: TokenNames): ChatTokenLogprob {
  const top_logprobs = top.map((other) => tokenLogprob(other.id, other.logprob, names));
  return { ...tokenLogprob(id, logprob, names), top_logprobs };
}

function textLogprobs(tokens: readonly PlacedToken[], names: TokenNames): CompletionLogprobs {
  return {
    tokens: tokens.map(({ id }) => spelling(id, names)),
    token_logprobs: tokens.map(({ logprob = 0 }) => logprob),
    top_logprobs: tokens.map(({ top = [] }) =>
      Object.fromEntries(top.map(({ id, logprob }) => [spelling(id, names), logprob])),
    ),
    text_offset: tokens.map(({ offset }) => offset),
  };
}

/** A token as it stands in a text, its leading space included. */
function spelling(id: number, names: TokenNames): string {
  const bytes = names.bytesOf(id);
  return bytes ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) : names.decode([id]);
}
