/**
 * What may cross the worker border, and what a page sees: plain, structured-cloneable data only. No tensor, GPU object
 * or raw configuration is here.
 */
import type { ModelSpec } from "../models/spec.ts";

/** A file held in memory, where no `File` is at hand. */
export interface MemoryFile {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer> | ArrayBuffer;
}

/**
 * Where a model is: a URL of a `.gguf` file or of a folder that holds `config.json`; a picked file or files (a GGUF, or
 * `config.json` + safetensors + `tokenizer.json`); the same in memory.
 */
export type ModelSource = string | URL | File | readonly File[] | MemoryFile | readonly MemoryFile[];

/** How far loading is. `loadedBytes` and `totalBytes` count the dense part, which must be there before the first token. */
export interface LoadProgress {
  readonly phase: "header" | "device" | "weights" | "ready";
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/** Which expert gives up its slot: least recently used, or least frequency-and-recency. */
export type PolicyName = "lru" | "lfru";

export interface LoadOptions {
  /** Bytes that every GPU buffer together may take. Default: the whole model when the device allows it. */
  readonly gpuBudgetBytes?: number;
  /** KV cache reserved inside the budget, in tokens; sessions up to this length fit without taking slots. Default: min(model's, 2048). */
  readonly contextLength?: number;
  /** Eviction policy. Default "lfru". It changes what is fetched, never a result. */
  readonly policy?: PolicyName;
  /** MoE layers past the first missing one whose likely experts are fetched with it; 0 = only what is certain. Default 0. */
  readonly runAhead?: number;
  /** Take no optional GPU feature and no larger limit, as the smallest device would give. Default false. */
  readonly stockLimits?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** URL of the engine worker, where a page's bundler or CSP needs its own copy. */
  readonly workerUrl?: string | URL;
}

export interface SessionOptions {
  /** Most tokens the session's timeline can hold. Default: what was reserved when loading. */
  readonly contextLength?: number;
}

/** Sampling and stopping of `Session.generate`. `temperature` 0 (default) is greedy; seeded runs repeat exactly. */
export interface GenerateOptions {
  readonly maxTokens?: number;
  readonly temperature?: number;
  /** Keep the `topK` most likely tokens (0 = all); ties at the cut are all kept. */
  readonly topK?: number;
  /** Keep the smallest set of most likely tokens whose probability reaches `topP`; ties at the cut are all kept. */
  readonly topP?: number;
  /** 32-bit unsigned seed. Default 0. */
  readonly seed?: number;
  /** Ids that end the text; they are not yielded. Default: the model's own. */
  readonly stopIds?: readonly number[];
  readonly signal?: AbortSignal;
}

/** The adapter that the engine runs on. */
export interface AdapterSummary {
  /** Readable name, as much as the browser tells. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly features: readonly string[];
  /** Largest storage binding in use, in bytes. */
  readonly maxBindingBytes: number;
  /** The adapter runs on the CPU. */
  readonly isFallback: boolean;
}

/** What the model needs and how its GPU budget is spent now. All sizes in bytes. */
export interface MemoryPlan {
  readonly budgetBytes: number;
  /** Smallest budget that works for this model and the sessions now alive. */
  readonly minBudgetBytes: number;
  /** Budget at which every expert is resident. */
  readonly fullBudgetBytes: number;
  /** Dense weights, on the GPU for good. */
  readonly denseBytes: number;
  /** KV cache, reserved or in use. */
  readonly kvBytes: number;
  /** Activations, staging and tables. */
  readonly scratchBytes: number;
  /** All experts of the model in the layout of the slots. */
  readonly expertBytes: number;
  /** Slots of all layers. */
  readonly slotBytes: number;
  /** Slots per MoE layer. */
  readonly slotsPerLayer: number;
  readonly expertsPerLayer: number;
}

/** One MoE layer of one step: which experts were chosen, and what the pager did for them. */
export interface LayerPaging {
  /** Index of the layer in the model. */
  readonly layer: number;
  /** Experts chosen by any token of the step; in rank order for decode, ascending for prefill. */
  readonly chosen: readonly number[];
  readonly fetched: readonly number[];
  readonly evicted: readonly number[];
}

/** What one step did, for a live picture of the paging. */
export interface StepEvent {
  readonly phase: "prefill" | "decode";
  /** Position of the step's last token in its session. */
  readonly position: number;
  readonly tokens: number;
  readonly layers: readonly LayerPaging[];
  readonly ms: number;
}

/** Who is resident now: per MoE layer, one flag per expert. */
export interface ResidencyLayer {
  readonly layer: number;
  readonly resident: readonly boolean[];
}

/** Cumulative counters since load. Times in milliseconds, sizes in bytes. */
export interface Stats {
  /** Tokens that went through prefill, and the time it took. */
  readonly prefillTokens: number;
  readonly prefillMs: number;
  /** Tokens that went through decode, and the time it took, waiting for experts included. */
  readonly decodeTokens: number;
  readonly decodeMs: number;
  /** From the start of the last prefill to the first generated token; 0 before there was one. */
  readonly timeToFirstTokenMs: number;
  /** Queue submissions, compute dispatches, and read-backs mapped, of decode steps only. */
  readonly decodeSubmissions: number;
  readonly decodeDispatches: number;
  readonly decodeReadbacks: number;
  /** The same three over both phases. */
  readonly submissions: number;
  readonly dispatches: number;
  readonly readbacks: number;
  /** Submissions that decode tokens took in all: one for a clean step, one more for every replay. */
  readonly decodeRounds: number;
  /** Decode steps in which every chosen expert was resident at once. */
  readonly cleanSteps: number;
  /** Expert look-ups of final results that found the expert resident before the step, and those that did not. */
  readonly expertHits: number;
  readonly expertMisses: number;
  /** Experts put into slots, and experts that lost theirs. */
  readonly expertsFetched: number;
  readonly evictions: number;
  /** Experts fetched on a guess that were used while still resident, and those evicted unused. */
  readonly prefetchesUseful: number;
  readonly prefetchesWasted: number;
  /** Time during which a step could not go on because expert bytes were on their way. */
  readonly stallMs: number;
  /** Bytes read from the network, from picked files, from memory; and what of them were experts. */
  readonly networkBytes: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly expertBytesFetched: number;
  /** Reads repeated after a failed or broken connection. */
  readonly retries: number;
  /** Bytes of live GPU buffers by owner ("dense", "slots", "kv", "scratch", "staging", "tables"), now and at their peak. */
  readonly gpuBytes: Readonly<Record<string, number>>;
  readonly gpuBytesTotal: number;
  readonly gpuBytesPeak: number;
  /** Bytes of KV cache of the live sessions. */
  readonly kvBytes: number;
}

/** One line of a routing trace: `turn,phase,step,layer,rank,expert,weight` (phase 0 prefill, 1 decode). */
export type TraceRow = readonly [
  turn: number, phase: 0 | 1, step: number, layer: number, rank: number, expert: number, weight: number,
];

/** Plain facts of a loaded model. */
export interface ModelInfo {
  readonly spec: ModelSpec;
  readonly adapter: AdapterSummary;
}
