/** Continues a session token by token: sampling, stop ids, length. No text here: ids in, ids out. */
import type { Session } from "../engine/session.ts";
import {
  type CheckedSettings,
  checkSettings,
  type Drawn,
  type FinishReason,
  type GenerateSettings,
} from "./settings.ts";

export type { GenerateSettings } from "./settings.ts";

/**
 * Yields tokens until `maxTokens`, a stop id (not yielded, not in the timeline) or a full context, and returns why it
 * ended. Every id that was yielded is part of the timeline. `signal()` is asked before every step, so that each step can
 * be aborted on its own.
 * @throws UsageError for a setting out of range, at once.
 */
export function generate(
  session: Session,
  settings: GenerateSettings,
  modelStopIds: readonly number[],
  signal: () => AbortSignal | undefined,
): AsyncGenerator<Drawn, FinishReason, undefined> {
  const checked = checkSettings(settings, session.vocabSize);
  const stopIds = new Set(settings.stopIds ?? modelStopIds);
  return run(session, checked, stopIds, signal);
}

async function* run(
  session: Session,
  { maxTokens, temperature, topK, topP, seed }: CheckedSettings,
  stopIds: ReadonlySet<number>,
  signal: () => AbortSignal | undefined,
): AsyncGenerator<Drawn, FinishReason, undefined> {
  const sampling = { temperature, topK, topP, seed };
  for (let count = 0; count < maxTokens && session.length < session.contextLength; count++) {
    const id = await session.sampleNext(sampling, signal(), count + 1 < maxTokens);
    if (stopIds.has(id)) return "stop";
    session.append(id);
    yield { id };
  }
  return "length";
}
