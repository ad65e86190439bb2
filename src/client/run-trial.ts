/** What the doors to `canRun` share: the question, and what devices were measured to do, kept for the next. */
import type { MeasuredDevice } from "../engine/can-run.ts";
import type { Border } from "./border.ts";
import type { WireSource } from "./model-source.ts";
import type { RunAnswer, RunOptions } from "./types.ts";

/** Kinds of matrices whose measurements are kept. */
const MOST_KEPT = 32;
/** A device does not change while a page lives, and its engines' workers do not live as long. */
let measuredBefore: readonly MeasuredDevice[] = [];

/**
 * Asks the engine behind `border`, which is closed then.
 * @internal
 */
export async function askCanRun(
  border: Border,
  source: WireSource,
  { signal, ...wire }: Omit<RunOptions, "workerUrl">,
): Promise<RunAnswer> {
  try {
    const { answer, measured } = await border.only(
      signal,
      (host, callId) => host.canRun(source, wire, measuredBefore, callId),
      0, // it has nothing to put in order
    );
    measuredBefore = measured.slice(0, MOST_KEPT);
    return answer;
  } finally {
    border.close();
  }
}
