/** Where the time of steps went: the parts by name, in the order in which they are stacked, and a summary in words. */
import type { StepEvent, StepTimes } from "../../src/index.ts";
import { duration } from "../format.ts";

export const TIME_PARTS = [
  { name: "computeMs", label: "compute", style: "compute" },
  { name: "readBackMs", label: "read-back", style: "read-back" },
  { name: "stallMs", label: "stall", style: "stall" },
  { name: "fetchMs", label: "fetch", style: "fetch" },
  { name: "idleMs", label: "lying ready", style: "idle" },
] as const satisfies readonly { name: keyof StepTimes; label: string; style: string }[];

/** Mean milliseconds of every part over the decoded tokens of `steps`; `null` where there are none. */
export function meanTimes(steps: readonly StepEvent[]): { tokens: number; ms: number; times: StepTimes } | null {
  const decoded = steps.filter(({ phase }) => phase === "decode");
  if (decoded.length === 0) return null;
  const mean = (of: (step: StepEvent) => number) => decoded.reduce((sum, step) => sum + of(step), 0) / decoded.length;
  const parts = TIME_PARTS.map(({ name }) => [name, mean(({ times }) => times[name])]);
  return { tokens: decoded.length, ms: mean(({ ms }) => ms), times: Object.fromEntries(parts) };
}

/** "143 ms: compute 120 ms, read-back 3 ms, stall 18 ms"; parts of less than a twentieth of a millisecond are left out. */
export function timesText(ms: number, times: StepTimes): string {
  const parts = TIME_PARTS.filter(({ name }) => times[name] >= 0.05);
  return `${fine(ms)}: ${parts.map(({ name, label }) => `${label} ${fine(times[name])}`).join(", ")}`;
}

/** Milliseconds below ten with a decimal: a fast part is not nothing. */
function fine(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : duration(ms);
}
