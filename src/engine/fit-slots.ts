/** Slots where the GPU has less memory than was thought: fewer and fewer, until it has enough or no step would run. */
import { DeviceError } from "../errors.ts";
import type { Pager } from "../pager/pager.ts";

/** Of the slots that were refused; what is asked for next. */
const STEP_DOWN = 0.75;

/** Whether `error` says that the GPU has no memory left. */
export function isRefusal(error: unknown): error is DeviceError {
  return error instanceof DeviceError && error.code === "out-of-memory";
}

/** What to try when `slots` were refused; `undefined` when they were the fewest that work. */
export function fewerSlots(slots: number, least: number): number | undefined {
  return slots > least ? Math.max(least, Math.floor(slots * STEP_DOWN)) : undefined;
}

/**
 * Gives every layer `wanted` slots, or the most of the steps down from there that the GPU has memory for; `before`, a
 * number that it had memory for, is one of the steps.
 * @returns how many there are now.
 * @throws DeviceError when even `least` are refused; some layers are without a slot then.
 */
export async function fitSlots(pager: Pager, wanted: number, before: number, least: number): Promise<number> {
  for (let slots = wanted; ; ) {
    try {
      await pager.resize(slots);
      return slots;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const fewer = fewerSlots(slots, least);
      if (fewer === undefined) {
        const message = `The GPU refused memory even for ${least} experts a layer, and fewer do not work: ${error.message}`;
        throw new DeviceError(message, { code: "out-of-memory", cause: error });
      }
      slots = before < slots && before > fewer ? before : fewer;
    }
  }
}
