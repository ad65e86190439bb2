/**
 * The chat API on the worker's side: requests in, answers or chunks of them out. Owns the pool of sessions that answers are
 * drawn from; what a response holds is free when it has ended, was left or has failed.
 */
import type { Engine } from "../engine/engine.ts";
import type { Session } from "../engine/session.ts";
import { UnsupportedError } from "../errors.ts";
import { generate } from "../generate/generate.ts";
import type { Hold } from "../grammar/types.ts";
import type { ModelTokenizer } from "../tokenizer/load.ts";
import { throwIfAborted } from "../util/abort.ts";
import { type ChunkMaker, chatChunks, textChunks } from "./chunks.ts";
import type { Draw, DrawSession } from "./drawing.ts";
import { chatPromptOf, textPromptOf } from "./prompt.ts";
import { chatRequest, completionRequest, type Wanted } from "./request.ts";
import { type Piece, type Prompt, type Respondent, respond, type Usage } from "./respond.ts";
import { SessionPool, type SessionSource } from "./session-pool.ts";
import type { ResponseChunk, ResponseRequest, WholeResponse } from "./wire.ts";

/** A response that was asked for; nothing runs before the first `next` or `whole`. */
export interface ResponseHandle {
  /** The next chunk, or `undefined` at the end. */
  next(signal: AbortSignal): Promise<ResponseChunk | undefined>;
  /** All of it at once. */
  whole(signal: AbortSignal): Promise<WholeResponse>;
  /** Leaves the rest ungenerated, and waits for no more than the step that runs. */
  return(): Promise<void>;
}

export interface ChatParts<S extends DrawSession> {
  readonly tokenizer: ModelTokenizer | undefined;
  /** Ids that end a text, by the model's configuration. */
  readonly stopIds: readonly number[];
  readonly modelName: string;
  readonly contextLength: number;
  readonly sessions: SessionSource<S>;
  readonly keep: number;
  readonly draw: Draw<S>;
}

export class Chat<S extends DrawSession> {
  readonly #parts: ChatParts<S>;
  readonly #respondent: Respondent<S>;

  constructor(parts: ChatParts<S>) {
    this.#parts = parts;
    const { draw, stopIds, contextLength } = parts;
    this.#respondent = { pool: new SessionPool(parts.sessions, parts.keep), draw, stopIds, contextLength };
  }

  /**
   * Checks a request and makes its prompt.
   * @throws UsageError for a field that is unknown or out of range, and for messages that the template refuses;
   * UnsupportedError for a model without a tokenizer, or without a chat template where none is given; `AbortError`.
   */
  async ask(request: ResponseRequest, signal?: AbortSignal): Promise<ResponseHandle> {
    const { tokenizer, modelName } = this.#parts;
    const wanted = request.kind === "chat" ? chatRequest(request.params) : completionRequest(request.params);
    if (!tokenizer) {
      throw new UnsupportedError(
        "This checkpoint has no tokenizer: put its tokenizer.json beside it, or use a session with token ids.",
        { code: "no-tokenizer" },
      );
    }
    const head = { id: newId(), created: Math.floor(Date.now() / 1000), model: wanted.model ?? modelName };
    if (request.kind === "text") {
      const prompt = textPromptOf(tokenizer, request.params, wanted);
      const maker = textChunks({ ...head, id: `cmpl-${head.id}` }, wanted.topLogprobs !== undefined, tokenizer);
      return this.#handle(prompt, wanted, maker);
    }
    const prompt = await chatPromptOf(tokenizer, request.params, wanted);
    throwIfAborted(signal);
    const withLogprobs = wanted.topLogprobs !== undefined;
    const maker = chatChunks({ ...head, id: `chatcmpl-${head.id}` }, withLogprobs, tokenizer, newCallId);
    return this.#handle(prompt, wanted, maker);
  }

  #handle<C extends ResponseChunk, W extends WholeResponse>(
    prompt: Prompt,
    wanted: Wanted,
    maker: ChunkMaker<C, W>,
  ): ResponseHandle {
    let current: AbortSignal | undefined;
    const pieces = respond(this.#respondent, prompt, wanted, () => current);
    let waiting: C[] = [];
    let over = false;
    const finish = (usage: Usage): C[] => {
      over = true;
      return wanted.includeUsage ? [maker.usage(usage)] : [];
    };
    return {
      next: async (signal) => {
        current = signal;
        while (waiting.length === 0 && !over) {
          const { done, value } = await pieces.next();
          waiting = done ? (value ? finish(value) : []) : maker.chunks(value);
          if (done) over = true;
        }
        return waiting.shift();
      },
      whole: async (signal) => {
        current = signal;
        const all: Piece[] = [];
        for (;;) {
          const { done, value } = await pieces.next();
          if (done) return maker.whole(all, wanted.n, value);
          all.push(value);
        }
      },
      return: async () => {
        over = true;
        waiting = [];
        current = AbortSignal.abort(); // what is let go of now is not waited for
        await pieces.return(undefined as never); // a response that was left tells nothing
      },
    };
  }
}

/** A chat over an engine, which keeps as many sessions between requests as the engine's memory plan reserves. */
export function createChat(engine: Engine, tokenizer: ModelTokenizer | undefined, hold?: Hold): Chat<Session> {
  const { spec } = engine;
  const sessions: SessionSource<Session> = {
    make: (signal) => engine.createSession(undefined, signal),
    drop: (session) => engine.disposeSession(session),
    between: (task, signal) => engine.exclusive(task, signal),
  };
  return new Chat({
    tokenizer,
    stopIds: [...spec.stopIds, ...(tokenizer?.chatFormat.stopIds ?? [])],
    modelName: spec.name,
    contextLength: engine.reservedContext,
    sessions,
    keep: engine.reservedSessions,
    draw: (session, settings, stopIds, signal) => generate(session, settings, stopIds, signal, hold),
  });
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** Letters and digits by chance. */
function newId(length = 24): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => LETTERS[byte % LETTERS.length]).join("");
}

/** Nine letters and digits, which is what Mistral's templates insist on and others take. */
function newCallId(): string {
  return newId(9);
}
