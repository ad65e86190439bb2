/** What `canRun` is asked and answers: plain, structured-cloneable data. */
import type { AdapterFacts } from "../gpu/adapter-facts.ts";
import type { ModelInspection } from "./inspect.ts";
import type { DeviceSpeed, LinkSpeed, SpeedEstimate } from "./run-estimate.ts";

/** What the caller may say about the trial. */
export interface DeviceTrial {
  /** Tokens of KV cache within the budget. Default: min(model's, 2048). */
  readonly contextLength?: number;
  /** The GPU budget to judge by, in bytes. Default: half of the memory that the browser tells. */
  readonly gpuBudgetBytes?: number;
  /** Length of the prompt that the first token waits for. Default 32. */
  readonly promptTokens?: number;
  /** Try how fast the link is: 244 KiB. Default: for addresses, unless the user saves data. */
  readonly link?: boolean;
  /** As for `loadModel`. */
  readonly stockLimits?: boolean;
  /**
   * Measure the device again. Default: what it was measured to do is kept for as long as the page lives, by storage type and
   * width of the model.
   */
  readonly remeasure?: boolean;
}

/** `runs`: every expert fits the suggested budget. `runs-paged`: experts are fetched while it writes. */
export type Verdict = "runs" | "runs-paged" | "does-not-run";

/** Why a model runs, runs paged, or does not. */
export type ReasonCode =
  | "fits"
  | "paged"
  | "unsupported"
  | "no-webgpu"
  | "no-adapter"
  | "no-device"
  | "not-enough-memory";

/** What may be in the way of a model that runs. */
export type WarningCode =
  | "software-adapter"
  | "memory-unknown"
  | "budget-above-memory"
  | "no-tokenizer"
  | "no-storage"
  | "storage-not-persistent"
  | "disk-too-small"
  | "save-data";

/** A sentence for a person, and a code for a page. */
export interface Remark<Code extends string> {
  readonly code: Code;
  readonly text: string;
}

/** A number that the estimate takes for granted. */
export interface Assumption {
  readonly name: string;
  readonly value: number;
  readonly unit: "share" | "tokens" | "bytes" | "ms" | "bytes/s" | "count";
  /** Where it is from, and which way it errs. */
  readonly text: string;
}

/** Speeds when nothing else uses the device. */
export interface ExpectedSpeed {
  /** Every expert in a slot; `null` where the device cannot bind them all. */
  readonly resident: SpeedEstimate | null;
  /** At the suggested budget, missing experts coming from host memory: after a while, or with all of them cached. */
  readonly suggested: SpeedEstimate;
  /** At the suggested budget, missing experts coming over the link: a first visit. `null` where no link was measured. */
  readonly suggestedFromLink: SpeedEstimate | null;
}

/** What comes over before the first token. Sizes in bytes. */
export interface FirstToken {
  readonly promptTokens: number;
  readonly bytes: number;
  /** Of it: headers and tokenizer, the dense part, and experts that the prompt is expected to choose. */
  readonly headerBytes: number;
  readonly denseBytes: number;
  readonly expertBytes: number;
  /** Of all experts. */
  readonly expertShare: number;
  /** At the measured bandwidth, computing not counted; `null` where no link was measured. */
  readonly downloadSeconds: number | null;
}

/** The browser's storage. Sizes in bytes. */
export interface DiskFacts {
  /** The whole model; paging needs less, and what does not fit is fetched again. */
  readonly neededBytes: number;
  /** What models may take of the quota and do not yet; `null` where the page may not store. */
  readonly availableBytes: number | null;
  readonly persistent: boolean;
  /** What is there of this model already: bytes, and the share of its experts from 0 to 1. */
  readonly cachedBytes: number;
  readonly cachedExpertShare: number;
}

/** What `canRun` found out; plain data. */
export interface RunAnswer {
  readonly verdict: Verdict;
  /** Why; several for a model that does not run. */
  readonly reasons: readonly Remark<ReasonCode>[];
  readonly warnings: readonly Remark<WarningCode>[];
  /** What `inspectModel` says, for this device's bindings. */
  readonly model: ModelInspection;
  /** `null` without a device. */
  readonly adapter: AdapterFacts | null;
  readonly device: DeviceSpeed | null;
  /** `null` for files, servers of a file too short to try, users who save data, and when `link` is false. */
  readonly link: LinkSpeed | null;
  /** What to give `loadModel` as `gpuBudgetBytes`; `null` for a model that does not run. */
  readonly suggestedBudgetBytes: number | null;
  readonly speed: ExpectedSpeed | null;
  readonly firstToken: FirstToken | null;
  /** `null` for a source that is not read over the network, which is not cached. */
  readonly disk: DiskFacts | null;
  readonly assumptions: readonly Assumption[];
  /** Bytes read to find all this out, the link's measurement included. */
  readonly bytesRead: number;
  readonly tookMs: number;
}
