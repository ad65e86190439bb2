/**
 * The worker border: the calls that the engine worker answers, types only. Arguments and results are plain data, or
 * a callback that the client proxies and releases. An `AbortSignal` does not cross: a call that can be aborted carries
 * a `callId`, and the client sends `cancel(callId)` when its signal fires.
 */

import type { ResponseChunk, ResponseRequest, WholeResponse } from "../chat/wire.ts";
import type { MeasuredDevice } from "../engine/can-run.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { WireSource } from "./model-source.ts";
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
  GenerateOptions,
  InspectOptions,
  LoadOptions,
  LoadProgress,
  MemoryPlan,
  ModelInspection,
  ModelWarning,
  ResidencyLayer,
  ResponseStats,
  RunAnswer,
  RunOptions,
  SessionOptions,
  SessionSnapshot,
  Stats,
  StepEvent,
  TraceRow,
} from "./types.ts";

export type WireLoadOptions = Omit<LoadOptions, "signal" | "onProgress" | "onWarning" | "workerUrl">;
export type WireInspectOptions = Omit<InspectOptions, "signal" | "workerUrl">;
export type WireRunOptions = Omit<RunOptions, "signal" | "workerUrl">;
export type WireSessionOptions = Omit<SessionOptions, "signal">;
export type WireGenerateOptions = Omit<GenerateOptions, "signal">;

/** A session under its number. */
export interface OpenedSession {
  readonly sessionId: number;
  /** Most tokens that its timeline can hold. */
  readonly contextLength: number;
}

export interface EngineHostApi {
  load(
    source: WireSource,
    options: WireLoadOptions,
    callId: number,
    onProgress: ((progress: LoadProgress) => void) | null,
    onWarning: ((warning: ModelWarning) => void) | null,
  ): Promise<{ spec: ModelSpec; adapter: AdapterSummary }>;

  /** Needs no GPU, and no model in this worker. */
  inspect(source: WireSource, options: WireInspectOptions, callId: number): Promise<ModelInspection>;

  /**
   * Opens the GPU for a moment; no model in this worker.
   * @param measured what devices were measured to do before. What is known afterwards comes back with the answer.
   */
  canRun(
    source: WireSource,
    options: WireRunOptions,
    measured: readonly MeasuredDevice[],
    callId: number,
  ): Promise<{ answer: RunAnswer; measured: readonly MeasuredDevice[] }>;

  createSession(options: WireSessionOptions, callId: number): Promise<OpenedSession>;
  saveSession(sessionId: number, callId: number): Promise<SessionSnapshot>;
  restoreSession(snapshot: SessionSnapshot, options: WireSessionOptions, callId: number): Promise<OpenedSession>;
  forkSession(sessionId: number, callId: number): Promise<OpenedSession>;
  prefill(sessionId: number, tokenIds: readonly number[], callId: number): Promise<Float32Array>;
  decode(sessionId: number, tokenId: number, callId: number): Promise<Float32Array>;
  rewind(sessionId: number, length: number): Promise<void>;
  tokens(sessionId: number): Promise<number[]>;
  sessionStats(sessionId: number): Promise<ResponseStats | null>;

  /** Starts a generation and gives its id; nothing runs before `generateNext`. */
  generate(sessionId: number, options: WireGenerateOptions): Promise<number>;
  /** The next token, or why there is none. Pulled, so the timeline never runs ahead of its reader. */
  generateNext(generationId: number, callId: number): Promise<Drawn | FinishReason>;
  generateReturn(generationId: number): Promise<void>;

  /** A vector [hiddenSize] for each text, or each row of token ids. */
  embed(
    texts: readonly (string | readonly number[])[],
    normalize: boolean,
    callId: number,
  ): Promise<Float32Array<ArrayBuffer>[]>;
  /** Answers a chat, or continues a text, in one piece. */
  respond(request: ResponseRequest, callId: number): Promise<WholeResponse>;
  /** Starts a stream of chunks and gives its id; nothing runs before `respondNext`. */
  respondStart(request: ResponseRequest, callId: number): Promise<number>;
  /** The next chunk, or `null` at the end. Pulled, as tokens are. */
  respondNext(streamId: number, callId: number): Promise<ResponseChunk | null>;
  respondReturn(streamId: number): Promise<void>;

  encode(text: string, options: EncodeOptions): Promise<number[]>;
  decodeText(ids: readonly number[]): Promise<string>;
  chatPrompt(messages: readonly ChatMessage[], options: ChatOptions): Promise<ChatPrompt>;
  chatFormat(): Promise<ChatFormat>;

  stats(): Promise<Stats>;
  setFill(state: "on" | "off"): Promise<void>;
  memory(): Promise<MemoryPlan>;
  setBudget(gpuBudgetBytes: number): Promise<MemoryPlan>;
  advice(): Promise<Advice>;
  residency(): Promise<ResidencyLayer[]>;
  watch(listener: ((event: StepEvent) => void) | null): Promise<void>;
  startTrace(): Promise<void>;
  takeTrace(): Promise<TraceRow[]>;

  cancel(callId: number): Promise<void>;
  disposeSession(sessionId: number): Promise<void>;
  /** Frees everything and gives what the buffer ledger still holds: an empty record. */
  dispose(): Promise<Readonly<Record<string, number>>>;
}
