/**
 * What may cross the worker border, and what a page sees: plain, structured-cloneable data only. No tensor, GPU object
 * or raw configuration is here.
 */
import type { DeviceTrial } from "../engine/run-answer.ts";
import type { ModelWarning } from "../engine/types.ts";
import type { GenerateSettings } from "../generate/settings.ts";
import type { PolicyName } from "../pager/policy.ts";

export type * from "../chat/openai-types.ts";
export type {
  CheckpointDescription,
  DType,
  ExpertFacts,
  KvFacts,
  MemoryFacts,
  ParameterCounts,
  StorageShare,
} from "../engine/describe.ts";
export type { ModelInspection } from "../engine/inspect.ts";
export type {
  Assumption,
  DeviceTrial,
  DiskFacts,
  ExpectedSpeed,
  FirstToken,
  ReasonCode,
  Remark,
  RunAnswer,
  Verdict,
  WarningCode,
} from "../engine/run-answer.ts";
export type { DeviceSpeed, LinkSpeed, SpeedEstimate } from "../engine/run-estimate.ts";
export type {
  AdapterSummary,
  Advice,
  CapacityEstimate,
  Gauge,
  LayerPaging,
  MemoryPlan,
  ModelWarning,
  ResidencyLayer,
  ResponseStats,
  Stats,
  StepEvent,
  StepTimes,
  TierStats,
  TraceRow,
} from "../engine/types.ts";
export type { ChatPart, ChatStream } from "../generate/chat-stream.ts";
export type {
  Constraint,
  Drawn,
  FinishReason,
  GenerateSettings,
  IdLogprob,
  ThinkingSettings,
} from "../generate/settings.ts";
export type { PolicyName } from "../pager/policy.ts";
export type { ChatFormat, ChatMessage, ChatOptions, ChatPrompt } from "../tokenizer/chat-types.ts";
export type { TokenizerPlace } from "../tokenizer/find.ts";
export type { ModelTokenizer } from "../tokenizer/load.ts";
export type { EncodeOptions, SpecialToken, StreamDecoder, Tokenizer } from "../tokenizer/tokenizer.ts";

/** A file held in memory, where no `File` is at hand. */
export interface MemoryFile {
  /** File name; of a model of several files, as the others spell it. */
  readonly name: string;
  /** The whole file. It is copied to the worker; the caller keeps its own. */
  readonly bytes: Uint8Array<ArrayBuffer> | ArrayBuffer;
}

/** A model on a Hugging Face hub, or on a server that answers like one. */
export interface HubSource {
  /** `owner/name`. */
  readonly repo: string;
  /** Branch, tag or commit. Default: the default branch. What it means when loading is what is read until the end. */
  readonly revision?: string;
  /** A `.gguf` of the repository by its path; of a split, any shard. */
  readonly file?: string;
  /** The GGUF whose name carries this type, such as `Q4_K_M`. Default: the first of a list of well-tried ones. */
  readonly quantization?: string;
  /** Access token for gated and private models. It is sent to the endpoint only, and kept nowhere. */
  readonly token?: string;
  /** Address of the hub. Default `https://huggingface.co`. */
  readonly endpoint?: string;
}

/**
 * Where a model is: a URL of a `.gguf` file or of a folder that holds `config.json`; the id of a model on a hub; a picked
 * file or files (a GGUF, or `config.json` + safetensors + `tokenizer.json`); the same in memory.
 *
 * A text of the form `owner/name`, `owner/name@revision`, `owner/name:Q4_K_M` or `owner/name@revision:file.gguf`, with or
 * without `hf:` before it, is the id of a model on huggingface.co; a relative address of two parts is written
 * `./folder/name`.
 */
export type ModelSource = string | URL | HubSource | File | readonly File[] | MemoryFile | readonly MemoryFile[];

/** How far loading is. `loadedBytes` and `totalBytes` count the dense part, which must be there before the first token. */
export interface LoadProgress {
  /** "header": reading what the model is. "device": asking for a GPU. "weights": the dense part. "ready": done. */
  readonly phase: "header" | "device" | "weights" | "ready";
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/** How `loadModel` opens a model. None of it changes a result: budgets, policies and tiers only move bytes. */
export interface LoadOptions {
  /**
   * Bytes that every GPU buffer together may take. Default: the whole model when the device allows it, and further sessions
   * beside it: slots are given up for those only when the GPU refuses memory.
   */
  readonly gpuBudgetBytes?: number;
  /** KV cache reserved inside the budget, in tokens; a session up to this length fits without taking slots. Default: min(model's, 2048). */
  readonly contextLength?: number;
  /**
   * Conversations that chat keeps in the KV cache between requests; room for that many caches is reserved inside the
   * budget, and no slots are lost to them later. More at once are served too, and take free memory
   * while they run, or slots within a `gpuBudgetBytes`. Default 1.
   */
  readonly chatSessions?: number;
  /** Eviction policy. Default "successor". It changes what is fetched, never a result. */
  readonly policy?: PolicyName;
  /**
   * MoE layers that a decode step runs on for behind a missed expert, to fetch what they want with it; 0 stops at the
   * first miss. As many more than the model has are run of the token that seems to come next, up to all of them. Default
   * "auto": what measures best on this device and link.
   */
  readonly runAhead?: number | "auto";
  /** Experts below the top-k cut that are fetched too in each of those layers, 0 to 8. Default "auto". */
  readonly extraGuesses?: number | "auto";
  /**
   * "next-layer" applies the next MoE layer's router ahead of time and fetches what it names with a miss; "history" reads
   * what the routing makes likely to host memory and disk while the link is idle. Default "none".
   */
  readonly prefetch?: "none" | "next-layer" | "history";
  /** Load every expert at the start and look none up: for a device that holds them all, and to measure paging against. */
  readonly allResident?: boolean;
  /**
   * Keep what is read in the browser's storage for the next visit. Default: true for addresses where the browser lets
   * this page store, false otherwise; picked files and memory are at hand already.
   */
  readonly cache?: boolean;
  /** Most bytes on disk for all cached models of this origin. Default: four fifths of what the browser grants. */
  readonly diskQuotaBytes?: number;
  /** Host memory for experts that were read before. Default: a quarter of the device's memory; 0 for sources in memory. */
  readonly ramBudgetBytes?: number;
  /** Fetch the other experts to disk while nothing else is fetched. Default false. Not begun when the user saves data. */
  readonly backgroundFill?: boolean;
  /** Take no optional GPU feature and no larger limit, as the smallest device would give. Default false. */
  readonly stockLimits?: boolean;
  /** Ends the load: `AbortError`, and nothing is left behind. */
  readonly signal?: AbortSignal;
  /** Called as the load goes on, once a phase and for every part of the dense weights. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Hears, for as long as the model lives, of what went wrong and was put right: a lost device, memory refused. */
  readonly onWarning?: (warning: ModelWarning) => void;
  /** Silence after which a connection is cut and asked again, in milliseconds. Default 20,000. */
  readonly stallTimeoutMs?: number;
  /** URL of the engine worker, where a page's bundler or CSP needs its own copy. */
  readonly workerUrl?: string | URL;
}

/** What `inspectModel` reckons with. */
export interface InspectOptions {
  /** Tokens of KV cache within the budgets. Default: min(model's, 2048). */
  readonly contextLength?: number;
  /** Largest storage binding of the device in question, in bytes. Default: what every WebGPU device has, 128 MiB. */
  readonly maxBindingBytes?: number;
  /** As for `loadModel`. */
  readonly stallTimeoutMs?: number;
  /** Ends the inspection: `AbortError`. */
  readonly signal?: AbortSignal;
  /** As for `loadModel`. */
  readonly workerUrl?: string | URL;
}

/** What `canRun` reckons with. */
export interface RunOptions extends DeviceTrial {
  /** As for `loadModel`. */
  readonly stallTimeoutMs?: number;
  /** Ends the trial: `AbortError`. */
  readonly signal?: AbortSignal;
  /** As for `loadModel`. */
  readonly workerUrl?: string | URL;
}

/** What `Model.createSession` reserves. */
export interface SessionOptions {
  /** Most tokens the session's timeline can hold. Default: what was reserved when loading. */
  readonly contextLength?: number;
  readonly signal?: AbortSignal;
}

/** How `Model.embed` gives its vectors, and the signal that ends it. */
export interface EmbedOptions {
  /** Scale every vector to length 1. Default false. */
  readonly normalize?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * A session as bytes (`Session.save`), for `Model.restoreSession`. It takes, for each computed token, the bytes that a token
 * has in the KV cache and 5 more; layers with a sliding window keep no more than their window and a chunk. Beside that some
 * hundred bytes. It ends in a SHA-256 of all.
 */
export type SessionSnapshot = ArrayBuffer;

/** Sampling and stopping of `Session.generate`, and the signal that ends it. Seeded runs repeat exactly. */
export interface GenerateOptions extends GenerateSettings {
  /** Ends the generation within one step: `AbortError`. */
  readonly signal?: AbortSignal | undefined;
}
