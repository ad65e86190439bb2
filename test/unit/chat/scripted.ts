/** A chat without a model: real tokenizers and templates, sessions that only keep a timeline, and tokens from a script. */
import { Chat } from "../../../src/chat/chat.ts";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParamsBase,
} from "../../../src/chat/openai-types.ts";
import type { ResponseChunk, ResponseRequest } from "../../../src/chat/wire.ts";
import type { Drawn, FinishReason, GenerateSettings } from "../../../src/generate/settings.ts";
import type { ModelTokenizer } from "../../../src/tokenizer/load.ts";
import { openTokenizer } from "../../../src/tokenizer/open.ts";
import { CHAT_MODELS, type ChatModelName } from "../../fixtures/chat-models.ts";
import { makeGguf } from "../../fixtures/make-gguf.ts";

const tokenizers = new Map<ChatModelName, ModelTokenizer>();

export async function tokenizerOf(name: ChatModelName): Promise<ModelTokenizer> {
  const known = tokenizers.get(name);
  if (known) return known;
  const tokenizer = await openTokenizer({ name: "m.gguf", bytes: makeGguf({ metadata: CHAT_MODELS[name] }) });
  tokenizers.set(name, tokenizer);
  return tokenizer;
}

/** A timeline that remembers which of its tokens were prefilled. */
export class FakeSession {
  readonly contextLength: number;
  tokens: number[] = [];
  drawnFrom = Number.POSITIVE_INFINITY;
  /** Prompts that were prefilled, each as many tokens. */
  readonly prefills: number[] = [];
  response = undefined;
  constructor(contextLength: number) {
    this.contextLength = contextLength;
  }
  get length(): number {
    return this.tokens.length;
  }
  kept(length: number, phase?: "prefill"): number {
    return Math.min(length, this.tokens.length, phase ? this.drawnFrom : length);
  }
  beginResponse(): void {}
  rewind(length: number): void {
    this.tokens.length = length;
    if (this.drawnFrom >= length) this.drawnFrom = Number.POSITIVE_INFINITY;
  }
  async prefill(ids: readonly number[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    this.prefills.push(ids.length);
    this.tokens.push(...ids);
    return new Float32Array(0);
  }
}

export interface ScriptedChat {
  readonly chat: Chat<FakeSession>;
  /** Sessions alive. */
  readonly sessions: FakeSession[];
  /** What each generation was asked. */
  readonly asked: GenerateSettings[];
  readonly tokenizer: ModelTokenizer;
  create(params: ChatCompletionCreateParamsBase): Promise<ChatCompletion>;
  stream(params: ChatCompletionCreateParamsBase): Promise<ChatCompletionChunk[]>;
}

export interface Script {
  /** What the model says: ids, or a text whose markers are tokens. With several, each generation says the next. */
  readonly says: readonly (string | readonly number[])[];
  readonly model?: ChatModelName;
  readonly keep?: number;
  readonly contextLength?: number;
}

export async function scriptedChat({
  says,
  model = "chatml",
  keep = 1,
  contextLength = 4096,
}: Script): Promise<ScriptedChat> {
  const tokenizer = await tokenizerOf(model);
  const sessions: FakeSession[] = [];
  const asked: GenerateSettings[] = [];
  let turn = 0;
  async function* draw(
    session: FakeSession,
    settings: GenerateSettings,
    stopIds: readonly number[],
    signal: () => AbortSignal | undefined,
  ): AsyncGenerator<Drawn, FinishReason, undefined> {
    asked.push(settings);
    const script = says[turn++ % says.length] ?? "";
    const ids =
      typeof script === "string" ? tokenizer.encode(script, { addSpecial: false, allowSpecial: true }) : script;
    let count = 0;
    for (const id of ids) {
      await Promise.resolve();
      signal()?.throwIfAborted();
      if (count >= (settings.maxTokens ?? Number.POSITIVE_INFINITY) || session.length >= session.contextLength)
        return "length";
      if (stopIds.includes(id)) return "stop";
      session.drawnFrom = Math.min(session.drawnFrom, session.length);
      session.tokens.push(id);
      count += 1;
      yield settings.topLogprobs === undefined ? { id } : { id, logprob: -1, top: [{ id, logprob: -1 }] };
    }
    return "stop";
  }
  const chat = new Chat<FakeSession>({
    tokenizer,
    stopIds: tokenizer.chatFormat.stopIds,
    modelName: "scripted",
    contextLength,
    keep,
    draw,
    sessions: {
      make: async () => {
        const session = new FakeSession(contextLength);
        sessions.push(session);
        return session;
      },
      drop: async (session) => void sessions.splice(sessions.indexOf(session), 1),
      between: (task) => task(),
    },
  });
  const ask = (params: ChatCompletionCreateParamsBase) => chat.ask({ kind: "chat", params });
  return {
    chat,
    sessions,
    asked,
    tokenizer,
    create: async (params) => (await (await ask(params)).whole(signal())) as ChatCompletion,
    stream: async (params) => (await chunksOf(chat, { kind: "chat", params })) as ChatCompletionChunk[],
  };
}

const signal = (): AbortSignal => new AbortController().signal;

export async function chunksOf<S extends FakeSession>(
  chat: Chat<S>,
  request: ResponseRequest,
): Promise<ResponseChunk[]> {
  const handle = await chat.ask(request);
  const chunks: ResponseChunk[] = [];
  for (;;) {
    const chunk = await handle.next(signal());
    if (!chunk) return chunks;
    chunks.push(chunk);
  }
}
