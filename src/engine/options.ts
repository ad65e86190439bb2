/** What an engine can be told when it is made, and what of it makes sense. */
import { UsageError } from "../errors.ts";
import type { Tuning } from "../kernels/kernel.ts";
import type { ModelSpec } from "../models/spec.ts";
import { DEFAULT_POLICY, POLICY_NAMES, type PolicyName } from "../pager/policy.ts";
import type { ReadExpert } from "../tiers/read-expert.ts";
import type { SourceCounts } from "./counters.ts";
import { DEFAULT_CONTEXT, MAX_HINTS } from "./sizes.ts";
import type { ModelWarning } from "./types.ts";

export const PREFETCH_NAMES = ["none", "next-layer", "history"] as const;
export type Prefetch = (typeof PREFETCH_NAMES)[number];

export interface EngineOptions {
  /** Bytes of all GPU buffers together; `undefined` = all that is useful. */
  readonly gpuBudgetBytes?: number | undefined;
  /** Tokens of KV cache reserved within the budget. */
  readonly contextLength?: number | undefined;
  /** Caches of that length that are reserved. Default 1. */
  readonly reservedSessions?: number | undefined;
  readonly policy?: PolicyName | undefined;
  /**
   * MoE layers that a decode step runs on for behind a miss, to learn what they want; beyond the model's number those of the
   * token that seems to come next. "auto" = what measures best.
   */
  readonly runAhead?: number | "auto" | undefined;
  /** Experts below the top-k cut that are fetched too in each of those layers, up to 8; "auto" = what measures best. */
  readonly extraGuesses?: number | "auto" | undefined;
  /**
   * "next-layer": every MoE layer's input goes through the next one's router too, and a miss fetches what that names.
   * "history": what a token's routing makes likely is read to host memory and disk while the link is idle.
   */
  readonly prefetch?: Prefetch | undefined;
  /** Load every expert at the start and never look one up: what paging is measured against. Needs the full budget. */
  readonly allResident?: boolean | undefined;
  /** Reads experts for the slots. Default: the weight map's own read. */
  readonly readExpert?: ReadExpert | undefined;
  /** Makes a guess that `readExpert` is reading as urgent as a demand. */
  readonly raiseExpert?: ((layer: number, expert: number) => void) | undefined;
  /** Host memory for experts that were read before. Default 0: none is kept. */
  readonly ramBudgetBytes?: number | undefined;
  readonly tuning?: Tuning | undefined;
  /** Tokens of a prefill chunk. */
  readonly prefillChunk?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Hears the GPU bytes of dense weights as they land, of how many. */
  readonly onProgress?: ((loadedBytes: number, totalBytes: number) => void) | undefined;
  /** Hears of what went wrong and was put right. */
  readonly onWarning?: ((warning: ModelWarning) => void) | undefined;
  /** Counts of the sources behind the weight map. */
  readonly sourceCounts?: SourceCounts | undefined;
}

/** @throws UsageError for a setting that would otherwise pass without effect. */
export function checkOptions(options: EngineOptions, spec: ModelSpec): void {
  const {
    policy = DEFAULT_POLICY,
    runAhead = "auto",
    extraGuesses = "auto",
    prefetch = "none",
    contextLength = 1,
    ramBudgetBytes = 0,
    reservedSessions = 1,
  } = options;
  if (!POLICY_NAMES.includes(policy)) {
    throw new UsageError(`policy is "${policy}"; expected one of ${POLICY_NAMES.join(", ")}.`);
  }
  if (!PREFETCH_NAMES.includes(prefetch)) {
    throw new UsageError(`prefetch is "${prefetch}"; expected one of ${PREFETCH_NAMES.join(", ")}.`);
  }
  if (runAhead !== "auto" && !(runAhead >= 0)) {
    throw new UsageError(`runAhead is ${runAhead}; expected "auto" or a number of layers, 0 or more.`);
  }
  if (extraGuesses !== "auto" && !(Number.isInteger(extraGuesses) && extraGuesses >= 0 && extraGuesses <= MAX_HINTS)) {
    throw new UsageError(`extraGuesses is ${extraGuesses}; expected "auto" or a whole number from 0 to ${MAX_HINTS}.`);
  }
  if (!(ramBudgetBytes >= 0)) throw new UsageError(`ramBudgetBytes is ${ramBudgetBytes}; expected bytes, 0 or more.`);
  if (!(Number.isInteger(reservedSessions) && reservedSessions >= 1)) {
    throw new UsageError(`chatSessions is ${reservedSessions}; expected a whole number, 1 or more.`);
  }
  checkContext(Math.min(contextLength, spec.contextLength), spec.contextLength);
}

export function checkContext(contextLength: number, most: number): void {
  if (Number.isInteger(contextLength) && contextLength >= 1 && contextLength <= most) return;
  throw new UsageError(`contextLength ${contextLength}: expected a whole number from 1 to the model's ${most}.`);
}

export function reservedContext(spec: ModelSpec, options: EngineOptions): number {
  return Math.min(spec.contextLength, options.contextLength ?? DEFAULT_CONTEXT);
}
