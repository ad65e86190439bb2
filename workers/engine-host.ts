/**
 * What a page reaches in the worker: plain values in and out. Sessions, generations and running calls go by numbers, since
 * neither objects nor signals cross the border.
 */
import { transfer } from "comlink";
import { createChat } from "../src/chat/chat.ts";
import type { ResponseChunk, ResponseRequest, WholeResponse } from "../src/chat/wire.ts";
import type {
  EngineHostApi,
  OpenedSession,
  WireGenerateOptions,
  WireInspectOptions,
  WireLoadOptions,
  WireRunOptions,
  WireSessionOptions,
} from "../src/client/protocol.ts";
import type {
  AdapterSummary,
  Advice,
  ChatFormat,
  ChatMessage,
  ChatOptions,
  ChatPrompt,
  Drawn,
  EncodeOptions,
  FinishReason,
  LoadProgress,
  MemoryPlan,
  ModelInspection,
  ModelWarning,
  ResidencyLayer,
  ResponseStats,
  RunAnswer,
  SessionSnapshot,
  Stats,
  StepEvent,
  TraceRow,
} from "../src/client/types.ts";
import { canRun, type MeasuredDevice } from "../src/engine/can-run.ts";
import { embedTexts } from "../src/engine/embed.ts";
import type { Engine } from "../src/engine/engine.ts";
import { inspectFiles } from "../src/engine/inspect.ts";
import { restoreSession } from "../src/engine/restore-session.ts";
import type { Session } from "../src/engine/session.ts";
import { UnsupportedError, UsageError } from "../src/errors.ts";
import type { Hold } from "../src/grammar/types.ts";
import type { ModelSpec } from "../src/models/spec.ts";
import { openSource } from "../src/sources/open-source.ts";
import type { SourceHooks } from "../src/sources/source-hooks.ts";
import type { ModelTokenizer } from "../src/tokenizer/load.ts";
import { tokenBytes } from "../src/tokenizer/token-bytes.ts";
import { CallTable } from "./call-table.ts";
import { GrammarClient } from "./grammar-client.ts";
import type { Source } from "./io-protocol.ts";
import { type HostPlace, type OpenedModel, openModel } from "./open-model.ts";
import { Responses } from "./responses.ts";
import { SessionTable } from "./session-table.ts";

/** How often a running model tells the disk cache which experts it used; a tab that is closed loses no more. */
const NOTE_USES_EVERY_MS = 10_000;

export class EngineHost implements EngineHostApi {
  readonly #place: HostPlace;
  readonly #calls = new CallTable();
  readonly #warming = new AbortController();
  #notedMs = 0;
  #begun = false;
  #model: OpenedModel | undefined;
  #sessions: SessionTable | undefined;
  #grammars: GrammarClient | undefined;
  #responses: Responses | undefined;

  constructor(place: HostPlace) {
    this.#place = place;
  }

  load(
    source: Source,
    options: WireLoadOptions,
    callId: number,
    onProgress: ((progress: LoadProgress) => void) | null,
    onWarning: ((warning: ModelWarning) => void) | null,
  ): Promise<{ spec: ModelSpec; adapter: AdapterSummary }> {
    return this.#calls.run(callId, async (signal) => {
      if (this.#begun) throw new UsageError("This worker has a model already. Start another with loadModel.");
      this.#begun = true;
      const model = await openModel(this.#place, source, options, signal, onProgress, onWarning);
      this.#model = model;
      this.#sessions = new SessionTable(model, () => this.#hold());
      void model.engine.warmUp(model.popular, this.#warming.signal).catch(() => {}); // a hint: what fails is read when wanted
      if (options.backgroundFill && !this.#place.saveData) await model.io.setFill(true);
      return { spec: model.engine.spec, adapter: model.gpu.facts };
    });
  }

  inspect(source: Source, options: WireInspectOptions, callId: number): Promise<ModelInspection> {
    const { stallTimeoutMs, ...wanted } = options;
    const open = this.#place.openSource ?? openSource;
    return this.#calls.run(callId, (signal) => {
      return inspectFiles((hooks) => open(source, { ...hooks, stallTimeoutMs }, signal), wanted, signal);
    });
  }

  canRun(
    source: Source,
    options: WireRunOptions,
    known: readonly MeasuredDevice[],
    callId: number,
  ): Promise<{ answer: RunAnswer; measured: readonly MeasuredDevice[] }> {
    const { stallTimeoutMs, ...wanted } = options;
    const from = this.#place.openSource ?? openSource;
    return this.#calls.run(callId, async (signal) => {
      const isRemote = typeof source === "string" ? !/^file:/i.test(source) : "repo" in source;
      const open = (hooks: SourceHooks) => from(source, { ...hooks, stallTimeoutMs }, signal);
      const measured = [...known];
      const answer = await canRun({ ...this.#place, measured }, { open, isRemote }, wanted, signal);
      return { answer, measured };
    });
  }

  createSession({ contextLength }: WireSessionOptions, callId: number): Promise<OpenedSession> {
    return this.#openSession(callId, (signal) => this.#loaded().createSession(contextLength, signal));
  }

  saveSession(sessionId: number, callId: number): Promise<SessionSnapshot> {
    return this.#step(callId, async (signal) => {
      const snapshot = await this.#table().get(sessionId).save(signal);
      return transfer(snapshot, [snapshot]);
    });
  }

  restoreSession(
    snapshot: SessionSnapshot,
    { contextLength }: WireSessionOptions,
    callId: number,
  ): Promise<OpenedSession> {
    return this.#openSession(callId, (signal) => restoreSession(this.#loaded(), snapshot, contextLength, signal));
  }

  forkSession(sessionId: number, callId: number): Promise<OpenedSession> {
    return this.#openSession(callId, (signal) => this.#table().get(sessionId).fork(signal));
  }

  embed(
    texts: readonly (string | readonly number[])[],
    normalize: boolean,
    callId: number,
  ): Promise<Float32Array<ArrayBuffer>[]> {
    return this.#step(callId, async (signal) => {
      const ids = texts.map((text) => (typeof text === "string" ? this.#tokens().encode(text) : text));
      const vectors = await embedTexts(this.#loaded(), ids, normalize, signal);
      return transfer(
        vectors,
        vectors.map(({ buffer }) => buffer),
      );
    });
  }

  prefill(sessionId: number, tokenIds: readonly number[], callId: number): Promise<Float32Array> {
    return this.#step(callId, async (signal) => moved(await this.#table().get(sessionId).prefill(tokenIds, signal)));
  }

  decode(sessionId: number, tokenId: number, callId: number): Promise<Float32Array> {
    return this.#step(callId, async (signal) => moved(await this.#table().get(sessionId).decode(tokenId, signal)));
  }

  async rewind(sessionId: number, length: number): Promise<void> {
    await this.#loaded().exclusive(async () => this.#table().get(sessionId).rewind(length));
  }

  async tokens(sessionId: number): Promise<number[]> {
    return [...this.#table().get(sessionId).tokens];
  }

  async sessionStats(sessionId: number): Promise<ResponseStats | null> {
    return this.#table().get(sessionId).response ?? null;
  }

  async generate(sessionId: number, options: WireGenerateOptions): Promise<number> {
    return this.#table().generate(sessionId, options);
  }

  generateNext(generationId: number, callId: number): Promise<Drawn | FinishReason> {
    return this.#step(callId, (signal) => this.#table().next(generationId, signal));
  }

  /** What holds texts to constraints, over the model's own vocabulary. */
  #hold(): Hold | undefined {
    const { tokenizer, engine } = this.#opened();
    if (!tokenizer) return undefined;
    const { vocabSize } = engine.spec;
    this.#grammars ??= new GrammarClient(this.#place, () => tokenBytes(tokenizer, vocabSize));
    return this.#grammars.hold;
  }

  async generateReturn(generationId: number): Promise<void> {
    await this.#sessions?.return(generationId);
  }

  respond(request: ResponseRequest, callId: number): Promise<WholeResponse> {
    return this.#step(callId, (signal) => this.#answers().whole(request, signal));
  }

  respondStart(request: ResponseRequest, callId: number): Promise<number> {
    return this.#calls.run(callId, (signal) => this.#answers().start(request, signal));
  }

  respondNext(streamId: number, callId: number): Promise<ResponseChunk | null> {
    return this.#step(callId, (signal) => this.#answers().next(streamId, signal));
  }

  async respondReturn(streamId: number): Promise<void> {
    await this.#responses?.return(streamId);
  }

  async encode(text: string, options: EncodeOptions): Promise<number[]> {
    return this.#tokens().encode(text, options);
  }

  async decodeText(ids: readonly number[]): Promise<string> {
    return this.#tokens().decode(ids);
  }

  async chatPrompt(messages: readonly ChatMessage[], options: ChatOptions): Promise<ChatPrompt> {
    return this.#tokens().chatPrompt(messages, options);
  }

  async chatFormat(): Promise<ChatFormat> {
    return this.#tokens().chatFormat;
  }

  async stats(): Promise<Stats> {
    const { io, engine } = this.#opened();
    await io.refreshCounts();
    return engine.stats();
  }

  async setFill(state: "on" | "off"): Promise<void> {
    await this.#opened().io.setFill(state === "on");
  }

  async memory(): Promise<MemoryPlan> {
    return this.#loaded().memory();
  }

  setBudget(gpuBudgetBytes: number): Promise<MemoryPlan> {
    return this.#loaded().setBudget(gpuBudgetBytes);
  }

  async advice(): Promise<Advice> {
    return this.#loaded().advice();
  }

  async residency(): Promise<ResidencyLayer[]> {
    return this.#loaded().residency();
  }

  async watch(listener: ((event: StepEvent) => void) | null): Promise<void> {
    this.#loaded().watch(listener ?? undefined);
  }

  async startTrace(): Promise<void> {
    this.#loaded().startTrace();
  }

  async takeTrace(): Promise<TraceRow[]> {
    return this.#loaded().takeTrace();
  }

  async cancel(callId: number): Promise<void> {
    this.#calls.cancel(callId);
  }

  async disposeSession(sessionId: number): Promise<void> {
    await this.#table().dispose(sessionId);
  }

  async dispose(): Promise<Readonly<Record<string, number>>> {
    this.#calls.cancelAll();
    this.#warming.abort();
    this.#grammars?.close();
    await this.#noteUses().catch(() => {}); // a hint for the next visit
    const { io, engine, gpu } = this.#model ?? {};
    engine?.dispose();
    await io?.close().catch(() => {}); // what could not be stored is fetched again
    const left = gpu?.ledger.byOwner() ?? {};
    gpu?.destroy();
    return left;
  }

  /** A step: slots are no longer filled on a guess, and now and then it is noted which experts were used. */
  #step<T>(callId: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#warming.abort();
    return this.#calls.run(callId, async (signal) => {
      const result = await run(signal);
      if (performance.now() - this.#notedMs > NOTE_USES_EVERY_MS) void this.#noteUses().catch(() => {});
      return result;
    });
  }

  #openSession(callId: number, open: (signal: AbortSignal) => Promise<Session>): Promise<OpenedSession> {
    return this.#calls.run(callId, async (signal) => this.#table().add(await open(signal)));
  }

  async #noteUses(): Promise<void> {
    this.#notedMs = performance.now();
    await this.#model?.io.noteUses(this.#model.engine.useCounts());
  }

  #opened(): OpenedModel {
    if (!this.#model) throw new UsageError("No model is loaded in this worker.");
    return this.#model;
  }

  #loaded(): Engine {
    return this.#opened().engine;
  }

  #table(): SessionTable {
    this.#opened();
    if (!this.#sessions) throw new RangeError("a model without its sessions");
    return this.#sessions;
  }

  #answers(): Responses {
    this.#responses ??= new Responses(createChat(this.#loaded(), this.#opened().tokenizer, this.#hold()));
    return this.#responses;
  }

  #tokens(): ModelTokenizer {
    const { tokenizer } = this.#opened();
    if (tokenizer) return tokenizer;
    throw new UnsupportedError(
      "This checkpoint has no tokenizer: put its tokenizer.json beside it, or work with token ids.",
      { code: "no-tokenizer" },
    );
  }
}

/** Logits go over without a copy. */
function moved(logits: Float32Array<ArrayBuffer>): Float32Array {
  return transfer(logits, [logits.buffer]);
}
