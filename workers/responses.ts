/** Responses under way under numbers: answers of chats and continued texts, whole or chunk by chunk. */
import type { Chat, ResponseHandle } from "../src/chat/chat.ts";
import type { ResponseChunk, ResponseRequest, WholeResponse } from "../src/chat/wire.ts";
import type { Session } from "../src/engine/session.ts";

export class Responses {
  readonly #chat: Chat<Session>;
  readonly #streams = new Map<number, ResponseHandle>();
  #nextId = 1;

  constructor(chat: Chat<Session>) {
    this.#chat = chat;
  }

  async whole(request: ResponseRequest, signal: AbortSignal): Promise<WholeResponse> {
    return (await this.#chat.ask(request, signal)).whole(signal);
  }

  async start(request: ResponseRequest, signal: AbortSignal): Promise<number> {
    const handle = await this.#chat.ask(request, signal);
    const streamId = this.#nextId++;
    this.#streams.set(streamId, handle);
    return streamId;
  }

  /** `null` at the end, and for a stream that has ended. */
  async next(streamId: number, signal: AbortSignal): Promise<ResponseChunk | null> {
    return (await this.#streams.get(streamId)?.next(signal)) ?? null;
  }

  async return(streamId: number): Promise<void> {
    const handle = this.#streams.get(streamId);
    this.#streams.delete(streamId);
    await handle?.return();
  }
}
