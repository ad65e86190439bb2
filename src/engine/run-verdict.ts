/** Whether a model fits a device, and what budget to suggest: arithmetic on what is known of the device's memory, which is little. */
import { humanBytes } from "../util/math.ts";
import type { MemoryFacts } from "./describe.ts";
import type { ReasonCode, Remark, Verdict, WarningCode } from "./run-answer.ts";

/** What is known of the device's memory; WebGPU itself tells nothing. */
export interface KnownMemory {
  /** Gibibytes as the browser tells them: rounded, and from 8 on "at least". `undefined` where it does not. */
  readonly deviceMemory: number | undefined;
  /** What the caller would give, in bytes. */
  readonly wantedBytes: number | undefined;
}

export interface Fit {
  readonly verdict: Verdict;
  readonly reason: Remark<ReasonCode>;
  readonly suggestedBudgetBytes: number | null;
  readonly warnings: readonly Remark<WarningCode>[];
}

/** Browsers tell no more than this to be harder to recognise, so it means "at least". */
const MOST_TOLD_GIB = 8;
/** Where the browser does not tell. */
const ASSUMED_GIB = 4;
/** Share of memory that a tab may take for a model: the page, the browser and everything else need the rest. */
export const MEMORY_SHARE = 0.5;

/** The budget that a device with such memory is trusted to hold. */
export function trustedBudget({ deviceMemory, wantedBytes }: KnownMemory): number {
  return wantedBytes ?? MEMORY_SHARE * (deviceMemory ?? ASSUMED_GIB) * 2 ** 30;
}

export function judgeFit(memory: MemoryFacts, known: KnownMemory): Fit {
  const { minBudgetBytes: least, fullBudgetBytes: full, expertBytes, mostResidentBytes } = memory;
  const trusted = trustedBudget(known);
  const tooLarge = whyNot(least, known);
  if (tooLarge !== undefined) {
    const reason = { code: "not-enough-memory", text: tooLarge } as const;
    return { verdict: "does-not-run", reason, suggestedBudgetBytes: null, warnings: [] };
  }
  const suggestedBudgetBytes = Math.min(full, Math.max(least, Math.floor(trusted)));
  const warnings = memoryWarnings(least, trusted, known);
  if (suggestedBudgetBytes >= full && mostResidentBytes >= expertBytes) {
    const text = `All of it fits the GPU: ${humanBytes(full)}.`;
    return { verdict: "runs", reason: { code: "fits", text }, suggestedBudgetBytes, warnings };
  }
  const text =
    `All of it would take ${humanBytes(full)} of GPU memory. With ${humanBytes(suggestedBudgetBytes)} it runs, and ` +
    "fetches experts while it writes.";
  return { verdict: "runs-paged", reason: { code: "paged", text }, suggestedBudgetBytes, warnings };
}

function whyNot(least: number, { deviceMemory, wantedBytes }: KnownMemory): string | undefined {
  if (wantedBytes !== undefined) {
    if (wantedBytes >= least) return undefined;
    return `A budget of ${wantedBytes} bytes is too small: the smallest that works is ${least} (${humanBytes(least)}).`;
  }
  if (deviceMemory === undefined || deviceMemory >= MOST_TOLD_GIB || least <= deviceMemory * 2 ** 30) return undefined;
  return `It needs ${humanBytes(least)} of GPU memory at least, and this device has ${deviceMemory} GiB in all.`;
}

function memoryWarnings(least: number, trusted: number, known: KnownMemory): Remark<WarningCode>[] {
  if (known.wantedBytes !== undefined) return [];
  if (least > trusted) {
    const text =
      `It needs ${humanBytes(least)} at least, more than the ${humanBytes(trusted)} that this device is trusted with: ` +
      "loading may fail, or slow everything down.";
    return [{ code: "budget-above-memory", text }];
  }
  if (known.deviceMemory !== undefined) return [];
  const text = `The browser does not tell how much memory there is; ${ASSUMED_GIB} GiB are assumed.`;
  return [{ code: "memory-unknown", text }];
}
