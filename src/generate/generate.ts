/**
 * Continues a session token by token until it stops. No text here: ids in, ids out. Plain sampling stays on the GPU; what
 * needs more reads the logits back and draws on the host.
 */
import type { Session } from "../engine/session.ts";
import { UnsupportedError } from "../errors.ts";
import type { Hold } from "../grammar/types.ts";
import { HostDraw } from "./host-draw.ts";
import {
  type CheckedSettings,
  checkSettings,
  type Drawn,
  type FinishReason,
  type GenerateSettings,
  needsLogits,
} from "./settings.ts";
import { ThinkingState } from "./thinking.ts";

export type { GenerateSettings } from "./settings.ts";

/**
 * Yields tokens until `maxTokens`, a stop id (not yielded, not in the timeline), a complete constraint or a full context,
 * and returns why it ended. Every id that was yielded is part of the timeline. `signal()` is asked before every step, so
 * that each step can be aborted on its own.
 * @param hold what holds the text to `settings.constraint`.
 * @throws UsageError for a setting out of range, at once; for a constraint that cannot be held to, with the first token.
 */
export function generate(
  session: Session,
  settings: GenerateSettings,
  modelStopIds: readonly number[],
  signal: () => AbortSignal | undefined,
  hold?: Hold,
): AsyncGenerator<Drawn, FinishReason, undefined> {
  const checked = checkSettings(settings, session.vocabSize);
  const stopIds = new Set(settings.stopIds ?? modelStopIds);
  if (checked.constraint && !hold) throw new UnsupportedError("A constraint needs a model with a tokenizer.");
  return run(session, checked, stopIds, signal, hold);
}

async function* run(
  session: Session,
  settings: CheckedSettings,
  stopIds: ReadonlySet<number>,
  signal: () => AbortSignal | undefined,
  hold: Hold | undefined,
): AsyncGenerator<Drawn, FinishReason, undefined> {
  const { maxTokens, temperature, topK, topP, seed, constraint } = settings;
  const sampling = { temperature, topK, topP, seed };
  const held = constraint && (await hold?.(constraint, signal()));
  const thinking = settings.thinking && new ThinkingState(settings.thinking, held !== undefined);
  const host = needsLogits(settings) ? new HostDraw(session, settings, stopIds, thinking, held) : undefined;
  try {
    for (let count = 0; count < maxTokens && session.length < session.contextLength; count++) {
      const forced = thinking?.forced;
      let drawn: Drawn | undefined;
      if (host) drawn = await host.draw(forced, signal());
      else if (forced !== undefined) drawn = { id: forced, forced: true };
      else drawn = { id: await session.sampleNext(sampling, signal(), count + 1 < maxTokens) };
      if (!drawn || (!drawn.forced && stopIds.has(drawn.id))) return "stop";
      session.append(drawn.id);
      host?.add(drawn.id);
      thinking?.add(drawn.id);
      yield drawn;
    }
    return (await host?.isComplete(signal())) ? "stop" : "length";
  } finally {
    held?.dispose();
  }
}
