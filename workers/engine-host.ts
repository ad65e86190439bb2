/**
 * What a page reaches in the worker: plain values in and out. It opens sources, builds the engine, and keeps sessions,
 * generations and running calls under numbers, since neither objects nor signals cross the border.
 */
import { transfer } from "comlink";
import type { EngineHostApi, WireGenerateOptions, WireLoadOptions } from "../src/client/protocol.ts";
import type {
  AdapterSummary,
  Advice,
  ChatFormat,
  ChatMessage,
  ChatOptions,
  ChatPrompt,
  EncodeOptions,
  LoadProgress,
  MemoryPlan,
  ResidencyLayer,
  ResponseStats,
  SessionOptions,
  Stats,
  StepEvent,
  TraceRow,
} from "../src/client/types.ts";
import type { SourceCounts } from "../src/engine/counters.ts";
import { Engine } from "../src/engine/engine.ts";
import type { Session } from "../src/engine/session.ts";
import { UnsupportedError, UsageError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { generate } from "../src/generate/generate.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { describeModel } from "../src/models/registry.ts";
import type { ModelSpec } from "../src/models/spec.ts";
import { openFileSet } from "../src/sources/file-set.ts";
import { loadTokenizer, type ModelTokenizer } from "../src/tokenizer/load.ts";
import { createWeightMap } from "../src/weights/weight-map.ts";

type Source = Parameters<EngineHostApi["load"]>[0];

interface Generation {
  readonly ids: AsyncGenerator<number, void, undefined>;
  signal: AbortSignal | undefined;
}

export class EngineHost implements EngineHostApi {
  readonly #navigatorGpu: GPU | undefined;
  readonly #calls = new Map<number, AbortController>();
  readonly #sessions = new Map<number, Session>();
  readonly #generations = new Map<number, Generation>();
  readonly #sourceCounts: SourceCounts = { networkBytes: 0, fileBytes: 0, memoryBytes: 0, retries: 0 };
  #nextId = 1;
  #gpu: Gpu | undefined;
  #engine: Engine | undefined;
  #tokenizer: ModelTokenizer | undefined;

  constructor(navigatorGpu: GPU | undefined) {
    this.#navigatorGpu = navigatorGpu;
  }

  load(
    source: Source,
    options: WireLoadOptions,
    callId: number,
    onProgress: ((progress: LoadProgress) => void) | null,
  ): Promise<{ spec: ModelSpec; adapter: AdapterSummary }> {
    return this.#abortable(callId, async (signal) => {
      if (this.#engine) throw new UsageError("This worker has a model already. Start another with loadModel.");
      const report = (phase: LoadProgress["phase"], loadedBytes = 0, totalBytes = 0) =>
        onProgress?.({ phase, loadedBytes, totalBytes });
      report("header");
      const files = openFileSet(source, this.#sourceHooks());
      const checkpoint = await openCheckpoint(files, signal);
      const { spec, names } = describeModel(checkpoint);
      const weights = createWeightMap(checkpoint, spec, names);
      this.#tokenizer = await loadTokenizer(files, checkpoint, signal);
      report("device");
      const gpu = await openGpu(this.#navigatorGpu, { stockLimits: options.stockLimits ?? false });
      try {
        signal.throwIfAborted();
        const onBytes = (loaded: number, total: number) => report("weights", loaded, total);
        const settings = { ...options, signal, onProgress: onBytes, sourceCounts: this.#sourceCounts };
        this.#engine = await Engine.create(gpu, weights, spec, settings);
      } catch (error) {
        gpu.destroy();
        throw error;
      }
      this.#gpu = gpu;
      const { denseBytes } = this.#engine.memory();
      report("ready", denseBytes, denseBytes);
      return { spec, adapter: gpu.facts };
    });
  }

  async createSession(options: SessionOptions): Promise<{ sessionId: number; contextLength: number }> {
    const session = await this.#loaded().createSession(options.contextLength);
    const sessionId = this.#nextId++;
    this.#sessions.set(sessionId, session);
    return { sessionId, contextLength: session.contextLength };
  }

  prefill(sessionId: number, tokenIds: readonly number[], callId: number): Promise<Float32Array> {
    return this.#abortable(callId, async (signal) => moved(await this.#session(sessionId).prefill(tokenIds, signal)));
  }

  decode(sessionId: number, tokenId: number, callId: number): Promise<Float32Array> {
    return this.#abortable(callId, async (signal) => moved(await this.#session(sessionId).decode(tokenId, signal)));
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
    const ids = generate(this.#session(sessionId), options, stopIds, () => generation.signal);
    const generationId = this.#nextId++;
    this.#generations.set(generationId, Object.assign(generation, { ids, signal: undefined }));
    return generationId;
  }

  generateNext(generationId: number, callId: number): Promise<number | null> {
    return this.#abortable(callId, async (signal) => {
      const generation = this.#generations.get(generationId);
      if (!generation) return null;
      generation.signal = signal;
      const { value } = await generation.ids.next();
      return value ?? null;
    });
  }

  async generateReturn(generationId: number): Promise<void> {
    await this.#generations.get(generationId)?.ids.return();
    this.#generations.delete(generationId);
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
    return this.#loaded().stats();
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
    this.#calls.get(callId)?.abort();
  }

  async disposeSession(sessionId: number): Promise<void> {
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    if (session) await this.#loaded().disposeSession(session);
  }

  async dispose(): Promise<Readonly<Record<string, number>>> {
    for (const call of this.#calls.values()) call.abort();
    this.#engine?.dispose();
    const left = this.#gpu?.ledger.byOwner() ?? {};
    this.#gpu?.destroy();
    return left;
  }

  async #abortable<T>(callId: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#calls.set(callId, controller);
    try {
      return await run(controller.signal);
    } finally {
      this.#calls.delete(callId);
    }
  }

  #sourceHooks() {
    const counts = this.#sourceCounts;
    return {
      onBytes: (origin: "network" | "file" | "memory", bytes: number) => {
        counts[`${origin}Bytes`] += bytes;
      },
      onRetry: () => {
        counts.retries += 1;
      },
    };
  }

  #loaded(): Engine {
    if (!this.#engine) throw new UsageError("No model is loaded in this worker.");
    return this.#engine;
  }

  #session(sessionId: number): Session {
    const session = this.#sessions.get(sessionId);
    if (!session) throw new UsageError("This session was disposed. Create another one.");
    return session;
  }

  #tokens(): ModelTokenizer {
    if (this.#tokenizer) return this.#tokenizer;
    throw new UnsupportedError(
      "This checkpoint has no tokenizer: put its tokenizer.json beside it, or work with token ids.",
    );
  }
}

/** Logits go over without a copy. */
function moved(logits: Float32Array<ArrayBuffer>): Float32Array {
  return transfer(logits, [logits.buffer]);
}
