/**
 * Reference of the sampler: the Gumbel-max rule, argmax over z + g with g drawn from a Gumbel distribution, picks each
 * id with its softmax probability and needs no running sum over the vocabulary. The noise is a hash of (seed, position,
 * id), so a draw repeats exactly and does not depend on the order of work. Hash: PCG's RXS-M-XS output step on 32 bits,
 * chained over the three words (Jarzynski & Olano, "Hash Functions for GPU Rendering", 2020).
 */

export interface SampleInput {
  readonly logits: ArrayLike<number>; // [vocab]
  /** 0 = greedy. */
  readonly temperature: number;
  /** Keep this many of the largest logits (0 = all); all that equal the last one are kept too. */
  readonly topK: number;
  /** Then keep the shortest descending run whose probability reaches this; ties with its last are kept. 1 = all. */
  readonly topP: number;
  /** 32-bit unsigned. */
  readonly seed: number;
  readonly position: number;
}

/** The sampled id. */
export function sample(input: SampleInput): number {
  if (input.temperature === 0 || input.topK === 1) return argmax(input.logits);
  return argmax(sampleScores(input));
}

/** Index of the largest value, the lowest of equals. */
export function argmax(x: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < x.length; i++) if (x[i]! > x[best]!) best = i;
  return best;
}

/** logit / temperature + noise for the kept ids, -Infinity for the others; temperature above 0. */
export function sampleScores(input: SampleInput): Float64Array {
  const scores = new Float64Array(input.logits.length).fill(-Infinity); // [vocab]
  for (const id of keptSet(input)) {
    scores[id] = input.logits[id]! / input.temperature + gumbel(input.seed, input.position, id);
  }
  return scores;
}

/** Ids that may be drawn, ascending; temperature above 0. */
export function keptSet({
  logits,
  temperature,
  topK,
  topP,
}: Pick<SampleInput, "logits" | "temperature" | "topK" | "topP">): number[] {
  let kept = Array.from({ length: logits.length }, (_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (topK > 0) kept = takeWithTies(kept, logits, topK);
  if (topP < 1) {
    const masses = kept.map((id) => Math.exp((logits[id]! - logits[kept[0]!]!) / temperature));
    const target = topP * masses.reduce((sum, mass) => sum + mass, 0);
    let count = 1;
    for (let mass = masses[0]!; mass < target && count < kept.length; count++) mass += masses[count]!;
    kept = takeWithTies(kept, logits, count);
  }
  return kept.sort((a, b) => a - b);
}

/** The first `count` of the descending `ids`, and those behind them whose logit equals the last one's. */
function takeWithTies(ids: number[], logits: ArrayLike<number>, count: number): number[] {
  if (count >= ids.length) return ids;
  const last = logits[ids[count - 1]!]!;
  return ids.filter((id) => logits[id]! >= last);
}

/** Standard Gumbel noise of one id: -log(-log(u)). */
export function gumbel(seed: number, position: number, id: number): number {
  return -Math.log(-Math.log(uniform(hash(seed, position, id))));
}

/** The hash's upper 23 bits (with the half, exact in f32) as a number strictly between 0 and 1. */
export function uniform(hashed: number): number {
  return ((hashed >>> 9) + 0.5) * 2 ** -23;
}

/** Three 32-bit words into one. */
export function hash(a: number, b: number, c: number): number {
  return pcg(c ^ pcg(b ^ pcg(a)));
}

/** One step of the PCG generator and its output permutation, on 32-bit unsigned words. */
export function pcg(x: number): number {
  const state = (Math.imul(x, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
