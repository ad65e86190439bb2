/**
 * A text as one vector: the mean over its tokens of the hidden state behind the final norm, which is what goes into the
 * head. Sums are taken in f64 on the host, in the order of the tokens.
 */
import { UsageError } from "../errors.ts";
import { untilAborted } from "../util/abort.ts";
import type { Engine } from "./engine.ts";

/**
 * A vector [hiddenSize] for each of `texts`, of length 1 when `normalize`. Runs by the prefill path in a session of its
 * own, which is gone afterwards.
 * @throws UsageError for a text without tokens or longer than the model's context; BudgetError; `AbortError`.
 */
export async function embedTexts(
  engine: Engine,
  texts: readonly (readonly number[])[],
  normalize: boolean,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>[]> {
  if (texts.length === 0) return [];
  const { contextLength } = engine.spec;
  const longest = Math.max(...texts.map(({ length }) => length));
  if (texts.some(({ length }) => length === 0)) throw new UsageError("embed needs at least one token for each text.");
  if (longest > contextLength) {
    const message = `A text of ${longest} tokens to embed: the model's context holds ${contextLength}. Cut it in pieces.`;
    throw new UsageError(message, { code: "context-full", details: { contextLength } });
  }
  const session = await engine.createSession(longest, signal);
  try {
    const vectors = [];
    for (const ids of texts) {
      session.rewind(0);
      vectors.push(meanOf(await session.sumHidden(ids, signal), ids.length, normalize));
    }
    return vectors;
  } finally {
    await untilAborted(engine.disposeSession(session), signal).catch(() => {}); // a model that was disposed has freed it
  }
}

/** The mean of `count` states that were summed; `normalize`: of length 1. */
export function meanOf(sum: Float64Array, count: number, normalize: boolean): Float32Array<ArrayBuffer> {
  const mean = sum.map((value) => value / count);
  const length = normalize ? Math.hypot(...mean) : 1;
  return Float32Array.from(mean, (value) => (length > 0 ? value / length : 0));
}
