/**
 * What a page reaches in the worker: plain values in and out. It opens sources, builds the engine, and keeps sessions,
 * generations and running calls under numbers, since neither objects nor signals cross the border.
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
import { Engine } from "../src/engine/engine.ts";
import { inspectFiles } from "../src/engine/inspect.ts";
import { restoreSession } from "../src/engine/restore-session.ts";
import type { Session } from "../src/engine/session.ts";
import { UnsupportedError, UsageError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { generate } from "../src/generate/generate.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import type { Hold, TokenBytes } from "../src/grammar/types.ts";
import { describeModel } from "../src/models/registry.ts";
import type { ModelSpec } from "../src/models/spec.ts";
import { openSource } from "../src/sources/open-source.ts";
import type { SourceHooks } from "../src/sources/source-hooks.ts";
import { loadTokenizer, type ModelTokenizer } from "../src/tokenizer/load.ts";
import { tokenBytes } from "../src/tokenizer/token-bytes.ts";
import { untilAborted } from "../src/util/abort.ts";
import { createWeightMap } from "../src/weights/weight-map.ts";
import { CallTable } from "./call-table.ts";
import { GrammarClient } from "./grammar-client.ts";
import { IoClient, type IoPlace } from "./io-client.ts";
import type { Source } from "./io-protocol.ts";
import { Responses } from "./responses.ts";
import { cacheWanted, checkTierOptions, defaultRamBytes } from "./tier-options.ts";

/** How often a running model tells the disk cache which experts it used; a tab that is closed loses no more. */
const NOTE_USES_EVERY_MS = 10_000;

/** What the worker has that an engine does not look for itself. */
export interface HostPlace extends IoPlace {
  readonly gpu: GPU | undefined;
  /** Gibibytes, as far as the browser tells. */
  readonly deviceMemory?: number | undefined;
  /** Starts the grammar worker; absent where there are no nested workers. */
  readonly startGrammarWorker?: (() => Worker) | undefined;
  /** Holds texts of a vocabulary to constraints in this thread, where there is no worker for it. */
  readonly holdHere?: ((vocabulary: TokenBytes) => Promise<Hold>) | undefined;
  /** The user asked for little traffic. */
  readonly saveData?: boolean | undefined;
}

interface Generation {
  readonly drawn: AsyncGenerator<Drawn, FinishReason, undefined>;
  signal: AbortSignal | undefined;
}

export class EngineHost implements EngineHostApi {
  readonly #place: HostPlace;
  readonly #calls = new CallTable();
  readonly #sessions = new Map<number, Session>();
  readonly #generations = new Map<number, Generation>();
  readonly #warming = new AbortController();
  #nextId = 1;
  #notedMs = 0;
  #gpu: Gpu | undefined;
  #io: IoClient | undefined;
  #engine: Engine | undefined;
  #tokenizer: ModelTokenizer | undefined;
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
      if (this.#io) throw new UsageError("This worker has a model already. Start another with loadModel.");
      checkTierOptions(source, options);
      const report = (phase: LoadProgress["phase"], loadedBytes = 0, totalBytes = 0) =>
        onProgress?.({ phase, loadedBytes, totalBytes });
      report("header");
      const io = await this.#openIo(source, options, signal);
      const { files } = io;
      const checkpoint = await openCheckpoint(files, signal);
      const { spec, names } = describeModel(checkpoint);
      const weights = createWeightMap(checkpoint, spec, names);
      this.#tokenizer = await loadTokenizer(files, checkpoint, signal);
      report("device");
      const opening = openGpu(this.#place.gpu, { stockLimits: options.stockLimits ?? false });
      const gpu = await untilAborted(opening, signal, (late) => late.destroy());
      try {
        const popular = await untilAborted(io.setExperts(checkpoint, weights, spec), signal);
        const onBytes = (loaded: number, total: number) => report("weights", loaded, total);
        const ramBudgetBytes = options.ramBudgetBytes ?? defaultRamBytes(source, this.#place);
        const tiers = {
          readExpert: io.readExpert,
          raiseExpert: io.raiseExpert,
          ramBudgetBytes,
          sourceCounts: io.counts,
        };
        const settings = {
          ...options,
          ...tiers,
          reservedSessions: options.chatSessions,
          signal,
          onProgress: onBytes,
          onWarning: onWarning ?? undefined,
        };
        this.#engine = await Engine.create(gpu, weights, spec, settings);
        void this.#engine.warmUp(popular, this.#warming.signal).catch(() => {}); // a hint: what fails is read when wanted
      } catch (error) {
        gpu.destroy();
        await io.close().catch(() => {}); // what has come is kept on disk, and the next attempt goes on from there
        throw error;
      }
      this.#gpu = gpu;
      const { denseBytes } = this.#engine.memory();
      report("ready", denseBytes, denseBytes);
      if (options.backgroundFill && !this.#place.saveData) await io.setFill(true);
      return { spec, adapter: gpu.facts };
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
    return this.#opened(callId, (signal) => this.#loaded().createSession(contextLength, signal));
  }

  saveSession(sessionId: number, callId: number): Promise<SessionSnapshot> {
    return this.#step(callId, async (signal) => {
      const snapshot = await this.#session(sessionId).save(signal);
      return transfer(snapshot, [snapshot]);
    });
  }

  restoreSession(
    snapshot: SessionSnapshot,
    { contextLength }: WireSessionOptions,
    callId: number,
  ): Promise<OpenedSession> {
    return this.#opened(callId, (signal) => restoreSession(this.#loaded(), snapshot, contextLength, signal));
  }

  forkSession(sessionId: number, callId: number): Promise<OpenedSession> {
    return this.#opened(callId, (signal) => this.#session(sessionId).fork(signal));
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
    return this.#step(callId, async (signal) => moved(await this.#session(sessionId).prefill(tokenIds, signal)));
  }

  decode(sessionId: number, tokenId: number, callId: number): Promise<Float32Array> {
    return this.#step(callId, async (signal) => moved(await this.#session(sessionId).decode(tokenId, signal)));
  }

  async rewind(sessionId: number, length: number): Promise<void> {
    await this.#loaded().exclusive(async () => this.#session(sessionId).rewind(length));
  }

  async tokens(sessionId: number): Promise<number[]> {
    return [...this.#session(sessionId).tokens];
  }

  async sessionStats(sessionId: number): Promise<ResponseStats | null> {
    return this.#session(sessionId).response ?? null;
  }

  async generate(sessionId: number, options: WireGenerateOptions): Promise<number> {
    const generation: Partial<Generation> = {};
    const stopIds = [...this.#loaded().spec.stopIds, ...(this.#tokenizer?.chatFormat.stopIds ?? [])];
    const drawn = generate(this.#session(sessionId), options, stopIds, () => generation.signal, this.#hold());
    const generationId = this.#nextId++;
    this.#generations.set(generationId, Object.assign(generation, { drawn, signal: undefined }));
    return generationId;
  }

  generateNext(generationId: number, callId: number): Promise<Drawn | FinishReason> {
    return this.#step(callId, async (signal) => {
      const generation = this.#generations.get(generationId);
      if (!generation) throw new UsageError("This generation has ended. Start another one.");
      generation.signal = signal;
      return (await generation.drawn.next()).value;
    });
  }

  /** What holds texts to constraints, over the model's own vocabulary. */
  #hold(): Hold | undefined {
    const tokenizer = this.#tokenizer;
    if (!tokenizer) return undefined;
    const { vocabSize } = this.#loaded().spec;
    this.#grammars ??= new GrammarClient(this.#place, () => tokenBytes(tokenizer, vocabSize));
    return this.#grammars.hold;
  }

  async generateReturn(generationId: number): Promise<void> {
    await this.#generations.get(generationId)?.drawn.return("stop");
    this.#generations.delete(generationId);
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
    await this.#io?.refreshCounts();
    return this.#loaded().stats();
  }

  async setFill(state: "on" | "off"): Promise<void> {
    this.#loaded();
    await this.#io?.setFill(state === "on");
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
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    if (session) await this.#loaded().disposeSession(session);
  }

  async dispose(): Promise<Readonly<Record<string, number>>> {
    this.#calls.cancelAll();
    this.#warming.abort();
    this.#grammars?.close();
    await this.#noteUses().catch(() => {}); // a hint for the next visit
    this.#engine?.dispose();
    await this.#io?.close().catch(() => {}); // what could not be stored is fetched again
    const left = this.#gpu?.ledger.byOwner() ?? {};
    this.#gpu?.destroy();
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

  /** Gives a new session its number. */
  #opened(callId: number, open: (signal: AbortSignal) => Promise<Session>): Promise<OpenedSession> {
    return this.#calls.run(callId, async (signal) => {
      const session = await open(signal);
      const sessionId = this.#nextId++;
      this.#sessions.set(sessionId, session);
      return { sessionId, contextLength: session.contextLength };
    });
  }

  async #openIo(source: Source, options: WireLoadOptions, signal: AbortSignal): Promise<IoClient> {
    const { diskQuotaBytes, stallTimeoutMs } = options;
    const wanted = { cache: cacheWanted(source, options, this.#place), diskQuotaBytes, stallTimeoutMs };
    this.#io = await IoClient.open(source, wanted, this.#place, signal);
    return this.#io;
  }

  async #noteUses(): Promise<void> {
    this.#notedMs = performance.now();
    if (this.#engine) await this.#io?.noteUses(this.#engine.useCounts());
  }

  #loaded(): Engine {
    if (!this.#engine) throw new UsageError("No model is loaded in this worker.");
    return this.#engine;
  }

  #answers(): Responses {
    this.#responses ??= new Responses(createChat(this.#loaded(), this.#tokenizer, this.#hold()));
    return this.#responses;
  }

  #session(sessionId: number): Session {
    const session = this.#sessions.get(sessionId);
    if (!session) throw new UsageError("This session was disposed. Create another one.", { code: "disposed" });
    return session;
  }

  #tokens(): ModelTokenizer {
    if (this.#tokenizer) return this.#tokenizer;
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
