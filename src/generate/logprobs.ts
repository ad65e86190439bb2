/** Log-probabilities in the model's own distribution: softmax of the logits as they came, in float64. */
import type { IdLogprob } from "./settings.ts";

/** @returns the log-probability of `id`, and of the `count` likeliest ids, likeliest first, the lower of equals first. */
export function logprobsOf(
  logits: Float32Array,
  id: number,
  count: number,
): { logprob: number; top: readonly IdLogprob[] } {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  let mass = 0;
  for (const logit of logits) mass += Math.exp(logit - largest);
  const logMass = largest + Math.log(mass);
  const logprobOf = (at: number): number => (logits[at] ?? Number.NEGATIVE_INFINITY) - logMass;
  return { logprob: logprobOf(id), top: likeliest(logits, count).map((at) => ({ id: at, logprob: logprobOf(at) })) };
}

/** Ids of the `count` largest. Almost every id is behind the last of them at a glance. */
function likeliest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  const logitAt = (rank: number): number => logits[ids[rank] ?? -1] ?? Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length && count > 0; id++) {
    const logit = logits[id] ?? 0;
    if (ids.length === count && !(logit > logitAt(count - 1))) continue;
    if (ids.length === count) ids.pop();
    let rank = ids.length;
    while (rank > 0 && logit > logitAt(rank - 1)) rank -= 1;
    ids.splice(rank, 0, id);
  }
  return ids;
}
