/** Continues a session token by token: sampling, stop ids, length. No text here: ids in, ids out. */
import type { Session } from "../engine/session.ts";
import { UsageError } from "../errors.ts";

/** Sampling and stopping. `temperature` 0 is greedy; equal options, tokens and seed draw equal ids. */
export interface GenerateSettings {
  readonly maxTokens?: number | undefined;
  readonly temperature?: number | undefined;
  /** 0 keeps all. */
  readonly topK?: number | undefined;
  /** 1 keeps all. */
  readonly topP?: number | undefined;
  /** 32-bit unsigned. */
  readonly seed?: number | undefined;
  readonly stopIds?: readonly number[] | undefined;
}

/**
 * Yields ids until `maxTokens`, a stop id (not yielded, not in the timeline) or a full context. Every yielded id is part
 * of the timeline. `signal()` is asked before every step, so that each step can be aborted on its own.
 * @throws UsageError for a setting out of range, at once.
 */
export function generate(
  session: Session,
  settings: GenerateSettings,
  modelStopIds: readonly number[],
  signal: () => AbortSignal | undefined,
): AsyncGenerator<number, void, undefined> {
  const checked = check(settings);
  const stopIds = new Set(settings.stopIds ?? modelStopIds);
  return run(session, checked, stopIds, signal);
}

async function* run(
  session: Session,
  { maxTokens, ...sampling }: ReturnType<typeof check>,
  stopIds: ReadonlySet<number>,
  signal: () => AbortSignal | undefined,
): AsyncGenerator<number, void, undefined> {
  for (let count = 0; count < maxTokens && session.length < session.contextLength; count++) {
    const id = await session.sampleNext(sampling, signal(), count + 1 < maxTokens);
    if (stopIds.has(id)) return;
    session.append(id);
    yield id;
  }
}

function check(settings: GenerateSettings) {
  const { maxTokens = Number.POSITIVE_INFINITY, temperature = 0, topK = 0, topP = 1, seed = 0 } = settings;
  demand("maxTokens", maxTokens, maxTokens >= 0, "0 or more");
  demand(
    "temperature",
    temperature,
    Number.isFinite(temperature) && temperature >= 0,
    "0 (greedy) or a positive number",
  );
  demand("topK", topK, Number.isInteger(topK) && topK >= 0, "0 (all) or a positive whole number");
  demand("topP", topP, topP >= 0 && topP <= 1, "a number from 0 to 1");
  demand("seed", seed, Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, "a whole number from 0 to 2^32 - 1");
  return { maxTokens, temperature, topK, topP, seed };
}

function demand(name: string, value: number, ok: boolean, expected: string): void {
  if (!ok) throw new UsageError(`${name} is ${value}; expected ${expected}.`);
}
