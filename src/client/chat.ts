/**
 * Chats and continued texts as OpenAI's client has them: calls over the border, nothing else. Requests are checked, and
 * answers made, in the worker.
 */
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParamsBase,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
  Completion,
  CompletionChunk,
  CompletionCreateParamsBase,
  CompletionCreateParamsNonStreaming,
  CompletionCreateParamsStreaming,
} from "../chat/openai-types.ts";
import type { ResponseRequest } from "../chat/wire.ts";
import type { Caller } from "./caller.ts";

/** What a request may carry beside its fields. */
export interface RequestOptions {
  /** Ends the answer within one step: the call, or the loop over the stream, throws `AbortError`. */
  readonly signal?: AbortSignal | null | undefined;
}

/** Beside the fields of the request, a signal may stand in it. */
type WithSignal<T> = T & RequestOptions;

/**
 * The chunks of an answer, made as they are asked for: leaving the loop leaves the rest ungenerated. One reader only.
 * `controller.abort()` ends the loop without an error, as in OpenAI's client.
 */
export interface ResponseStream<Chunk> extends AsyncIterable<Chunk> {
  readonly controller: AbortController;
}

/** `model.chat`. */
export class Chat {
  readonly completions: ChatCompletions;

  /** @internal */
  constructor(caller: Caller) {
    this.completions = new ChatCompletions(caller);
  }
}

/** `model.chat.completions`. */
export class ChatCompletions {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Answers a conversation. It takes over what earlier requests computed of its beginning, and every request that runs holds
   * a KV cache of its own.
   * @returns a `ChatCompletion`, or with `stream: true` its chunks.
   * @throws UsageError naming a field that is unknown or out of range, or for messages that the model's template refuses;
   * UnsupportedError for a model without a chat template, unless `chat_template` gives one; BudgetError when requests that
   * run at once need more caches than the budget holds; `AbortError` within one step of a signal firing.
   */
  create(params: WithSignal<ChatCompletionCreateParamsNonStreaming>, options?: RequestOptions): Promise<ChatCompletion>;
  create(
    params: WithSignal<ChatCompletionCreateParamsStreaming>,
    options?: RequestOptions,
  ): Promise<ResponseStream<ChatCompletionChunk>>;
  create(
    params: WithSignal<ChatCompletionCreateParamsBase>,
    options?: RequestOptions,
  ): Promise<ChatCompletion | ResponseStream<ChatCompletionChunk>>;
  create(
    { signal, ...params }: WithSignal<ChatCompletionCreateParamsBase>,
    options: RequestOptions = {},
  ): Promise<ChatCompletion | ResponseStream<ChatCompletionChunk>> {
    const request = { kind: "chat", params } as const;
    const either = eitherOf(signal, options.signal);
    return params.stream
      ? openStream<ChatCompletionChunk>(this.#caller, request, either)
      : whole<ChatCompletion>(this.#caller, request, either);
  }
}

/** A text to continue, or its token ids. */
export type CompletionPrompt = string | readonly number[];
/** Fields of a request beside its prompt. */
export type CompleteOptions = WithSignal<Omit<CompletionCreateParamsNonStreaming, "prompt">>;
/** The same, for a streamed answer. */
export type CompleteStreamOptions = WithSignal<Omit<CompletionCreateParamsStreaming, "prompt">>;
/** A whole request, its prompt among the fields. */
export type CompleteRequest = WithSignal<CompletionCreateParamsNonStreaming>;
/** The same, for a streamed answer. */
export type CompleteStreamRequest = WithSignal<CompletionCreateParamsStreaming>;

/** @internal */
export function complete(
  caller: Caller,
  prompt: CompletionPrompt | CompleteRequest | CompleteStreamRequest,
  options: CompleteOptions | CompleteStreamOptions,
): Promise<Completion | ResponseStream<CompletionChunk>> {
  const both = typeof prompt === "string" || Array.isArray(prompt) ? { prompt, ...options } : { ...prompt, ...options };
  const { signal, ...params } = both as WithSignal<CompletionCreateParamsBase>;
  const request = { kind: "text", params } as const;
  const given = signal ?? undefined;
  return params.stream
    ? openStream<CompletionChunk>(caller, request, given)
    : whole<Completion>(caller, request, given);
}

async function whole<T>(caller: Caller, request: ResponseRequest, signal: AbortSignal | undefined): Promise<T> {
  return (await caller.call(signal, (host, callId) => host.respond(request, callId) as Promise<unknown>)) as T;
}

async function openStream<Chunk>(
  caller: Caller,
  request: ResponseRequest,
  given: AbortSignal | undefined,
): Promise<ResponseStream<Chunk>> {
  const id = await caller.call(given, (host, callId) => host.respondStart(request, callId));
  if (given?.aborted) void caller.call(undefined, (host) => host.respondReturn(id)).catch(() => {}); // nobody will read it
  given?.throwIfAborted();
  const controller = new AbortController();
  const signal = eitherOf(given, controller.signal);
  const chunks = async function* (): AsyncGenerator<Chunk, void, undefined> {
    try {
      for (;;) {
        const chunk = await caller.call(signal, (host, callId) => host.respondNext(id, callId) as Promise<unknown>);
        if (chunk === null) return;
        yield chunk as Chunk;
      }
    } catch (error) {
      if (!controller.signal.aborted || given?.aborted) throw error;
    } finally {
      controller.abort();
      if (!caller.closed) await caller.call(undefined, (host) => host.respondReturn(id));
    }
  };
  const iterator = chunks();
  return { controller, [Symbol.asyncIterator]: () => iterator };
}

function eitherOf(
  first: AbortSignal | null | undefined,
  second: AbortSignal | null | undefined,
): AbortSignal | undefined {
  if (!first || !second) return first ?? second ?? undefined;
  return AbortSignal.any([first, second]);
}
