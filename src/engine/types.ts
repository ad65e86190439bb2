/** What an engine tells about itself: plain data, safe to send to a page. */
import type { AdapterFacts } from "../gpu/adapter-facts.ts";
import type { Advice, CapacityEstimate } from "../pager/governor.ts";
import type { TraceRow } from "../pager/routing-trace.ts";

/** The adapter that the engine runs on: its name as far as the browser tells, and what was taken of it. */
export type AdapterSummary = AdapterFacts;
export type { Advice, CapacityEstimate, TraceRow };

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

/**
 * Where the time of a step went, in milliseconds of the host's clock; together they are the step's `ms`. What the GPU
 * does while the host waits for bytes is not seen by that clock: it counts as `stallMs`.
 */
export interface StepTimes {
  /** From a submission until the GPU is through with it, and what the host does for the step beside the rest below. */
  readonly computeMs: number;
  /** From then until the host has read what the submission left: the routing, and the token or logits. */
  readonly readBackMs: number;
  /** Nothing to do but to wait for the bytes of experts, from whichever tier. */
  readonly stallMs: number;
  /** Putting experts whose bytes have come into slots: choosing who leaves, and uploading. */
  readonly fetchMs: number;
  /** A step that was queued ahead was through before anybody asked for its token. */
  readonly idleMs: number;
}

/** What one step did, for a live picture of the paging. */
export interface StepEvent {
  readonly phase: "prefill" | "decode";
  /** Position of the step's last token in its session. */
  readonly position: number;
  readonly tokens: number;
  readonly layers: readonly LayerPaging[];
  readonly ms: number;
  /** The parts of `ms`. */
  readonly times: StepTimes;
}

/** Who is resident now: per MoE layer, one flag per expert. */
export interface ResidencyLayer {
  readonly layer: number;
  readonly resident: readonly boolean[];
}

/** What `Stats` has that is a state, not a count. */
export type Gauge =
  | "gpuBytes"
  | "gpuBytesTotal"
  | "gpuBytesPeak"
  | "kvBytes"
  | "runAheadLayers"
  | "extraGuesses"
  | "ramHeldBytes"
  | "cacheBytes"
  | "cacheDisabled"
  | "cachedExperts"
  | "fillState"
  | "ioWorker";

/**
 * The counters of one response: of everything that its session ran since the first `prefill` after the last generated
 * token. What other sessions do meanwhile is theirs.
 */
export type ResponseStats = Omit<Stats, Gauge>;

/** What the tiers below the slots and RAM count. Sizes in bytes. */
export interface TierStats {
  /** Bytes read from the network, from picked files, from memory. */
  readonly networkBytes: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  /** Reads repeated after a failed or broken connection. */
  readonly retries: number;
  /** Times that the address which a redirect ended at no longer answered, and the first one was asked again. */
  readonly reResolved: number;
  /** Reads of the network, files or memory; ranges that travelled in another's read, or joined one under way. */
  readonly fetchRequests: number;
  readonly fetchesMerged: number;
  readonly fetchesJoined: number;
  /** Bytes read from the disk cache, and experts that came from it whole. */
  readonly diskBytes: number;
  readonly diskHits: number;
  /** Blocks of the disk cache that failed their check and were fetched again. */
  readonly corruptBlocks: number;
  /** Cached files that were used unasked, because their server did not answer whether they are still the same. */
  readonly uncheckedFiles: number;
  /** Size of this model's disk cache, bytes written to it, experts evicted from it, blocks that found no room. */
  readonly cacheBytes: number;
  readonly cacheWriteBytes: number;
  readonly cacheEvictions: number;
  readonly cacheRefusals: number;
  /** Why the disk cache is not written: "off" when it was not asked for, a reason, or "" while it is. */
  readonly cacheDisabled: string;
  /** Experts that the disk cache holds whole. */
  readonly cachedExperts: number;
  /** What the background fill does. */
  readonly fillState: "off" | "running" | "full" | "failed" | "done";
  /** Whether bytes are fetched, checked and repacked in a worker of their own. */
  readonly ioWorker: boolean;
}

/** Something that went wrong and was put right: answers are what they would have been. */
export interface ModelWarning {
  /**
   * `device-lost`: the GPU device was lost and another one was opened, so the next step takes longer.
   * `budget-lowered`: the GPU refused memory, so the model runs with a smaller budget from now on (`Model.memory`).
   */
  readonly code: "device-lost" | "budget-lowered";
  /** What happened, in a sentence or two for people. */
  readonly message: string;
}

/** Cumulative counters since load. Times in milliseconds, sizes in bytes. */
export interface Stats extends TierStats {
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
  /** Bytes of stored weights that the dispatches read, each dispatch its own once: decode steps only, and over both phases. */
  readonly decodeWeightBytesRead: number;
  readonly weightBytesRead: number;
  /** Submissions that decode tokens took in all: one for a clean step, one more for every replay. */
  readonly decodeRounds: number;
  /** Tokens that were run while the one in front of them waited for experts, to learn what they want. */
  readonly scouts: number;
  /** Decode steps in which every chosen expert was resident at once. */
  readonly cleanSteps: number;
  /** Decode steps that were submitted before the one in front of them was read back, and those of them that were void. */
  readonly queuedSteps: number;
  readonly queuedStepsDropped: number;
  /**
   * MoE layers that a step now runs on for behind a miss, beyond the model's number those of the next token; and experts
   * below the cut that are fetched in each of its own.
   */
  readonly runAheadLayers: number;
  readonly extraGuesses: number;
  /** Expert look-ups of final results that found the expert resident before the step, and those that did not. */
  readonly expertHits: number;
  readonly expertMisses: number;
  /** Experts put into slots, and experts that lost theirs. */
  readonly expertsFetched: number;
  readonly evictions: number;
  /** Experts fetched on a guess that were used while still resident, and those evicted unused. */
  readonly prefetchesUseful: number;
  readonly prefetchesWasted: number;
  /** Experts that were read to host memory by routing history, and those of them that a step demanded later. */
  readonly historyReads: number;
  readonly historyUseful: number;
  /** Time during which a step could not go on because expert bytes were on their way. */
  readonly stallMs: number;
  /** How much of that time the host itself was busy, putting experts into slots. */
  readonly placeMs: number;
  /** Bytes of experts that reached the slots, from wherever. */
  readonly expertBytesFetched: number;
  /** Experts that came from the RAM tier, their bytes, and the bytes that it holds now. */
  readonly ramHits: number;
  readonly ramBytes: number;
  readonly ramHeldBytes: number;
  /** Times that the GPU device was lost and another one was opened. */
  readonly deviceLosses: number;
  /** Times that the GPU refused memory within the budget, which was lowered then. */
  readonly budgetsLowered: number;
  /** Bytes of live GPU buffers by owner ("dense", "slots", "kv", "scratch", "staging", "tables"), now and at their peak. */
  readonly gpuBytes: Readonly<Record<string, number>>;
  readonly gpuBytesTotal: number;
  readonly gpuBytesPeak: number;
  /** Bytes of KV cache of the live sessions. */
  readonly kvBytes: number;
}
