/**
 * The next id from logits on the host: what `shaders/sample.wgsl` does, in float64, with a lower bound on the probability
 * (min-p) besides. The random number of an id is the same hash of (seed, position, id), so both draw the same id but where
 * two scores, or a cut, are closer than f32 tells apart.
 */
import type { Sampling } from "../kernels/sample.ts";

export interface HostSampling extends Sampling {
  /** Keep ids at least `minP` times as likely as the likeliest; 0 keeps all. */
  readonly minP: number;
}

/**
 * Draws an id for `position`; `scores` [vocab] are logits, -Infinity where an id must not be drawn. Scales `scores` and
 * orders `spare` [vocab], so neither is of use afterwards.
 * @returns the id, or -1 when none may be drawn.
 */
export function drawId(
  scores: Float64Array,
  spare: Float64Array,
  { temperature, topK, topP, minP, seed }: HostSampling,
  position: number,
): number {
  if (temperature <= 0 || topK === 1) return largest(scores);
  for (let id = 0; id < scores.length; id++) scores[id] = (scores[id] ?? 0) / temperature;
  const best = largest(scores);
  if (best < 0) return -1;
  const cut = cutOf(scores, spare, scores[best] ?? 0, { topK, topP, minP });
  const stream = pcg(position ^ pcg(seed));
  let winner = -1;
  let winning = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] ?? 0;
    if (score < cut || score === Number.NEGATIVE_INFINITY) continue;
    const tried = score + gumbel(stream, id);
    if (tried > winning) [winner, winning] = [id, tried];
  }
  return winner;
}

/** The id of the largest score, the lowest of equals; -1 when every score is -Infinity. */
function largest(scores: Float64Array): number {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] ?? 0;
    if (score > most) [best, most] = [id, score];
  }
  return best;
}

/** The smallest score that top-k, top-p of what that leaves, and min-p keep. */
function cutOf(
  scores: Float64Array,
  spare: Float64Array,
  most: number,
  { topK, topP, minP }: { topK: number; topP: number; minP: number },
): number {
  let cut = Number.NEGATIVE_INFINITY;
  if (topK > 0 && topK < scores.length) {
    spare.set(scores);
    cut = heaviestFrom(spare, topK, () => 1);
  }
  if (topP < 1) {
    const share = (score: number): number => Math.exp(score - most);
    let count = 0;
    let mass = 0;
    for (const score of scores) {
      if (score < cut || score === Number.NEGATIVE_INFINITY) continue;
      spare[count++] = score;
      mass += share(score);
    }
    cut = heaviestFrom(spare.subarray(0, count), mass * topP, share);
  }
  return minP > 0 ? Math.max(cut, most + Math.log(minP)) : cut;
}

/**
 * The largest of `values` from which on upwards they weigh `wanted` together; the smallest when all weigh less, which is
 * rounding. A selection, not a sort: `values` are partly ordered in place, in expected linear time.
 */
function heaviestFrom(values: Float64Array, wanted: number, weigh: (value: number) => number): number {
  let [from, to] = [0, values.length];
  let above = 0;
  const at = (index: number): number => values[index] ?? 0;
  for (;;) {
    const pivot = median(at(from), at((from + to) >>> 1), at(to - 1));
    let [larger, next, smaller] = [from, from, to];
    let weight = 0;
    while (next < smaller) {
      const value = at(next);
      if (value > pivot) {
        weight += weigh(value);
        values[next++] = at(larger);
        values[larger++] = value;
      } else if (value < pivot) {
        values[next] = at(--smaller);
        values[smaller] = value;
      } else next += 1;
    }
    if (larger > from && above + weight >= wanted) {
      to = larger;
      continue;
    }
    above += weight + (smaller - larger) * weigh(pivot);
    if (above >= wanted || smaller >= to) return pivot;
    from = smaller;
  }
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/** PCG output function as in Jarzynski & Olano, "Hash Functions for GPU Rendering", 2020. */
function pcg(value: number): number {
  const state = (Math.imul(value, 747_796_405) + 2_891_336_453) >>> 0;
  const mixed = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277_803_737);
  return ((mixed >>> 22) ^ mixed) >>> 0;
}

/** -log(-log(u)) for the u in (0, 1) that belongs to `id`. */
function gumbel(stream: number, id: number): number {
  const bits = pcg(id ^ stream);
  const below = (bits >>> 9) + 0.5;
  const beyond = (~bits >>> 9) + 0.5;
  // Near 1, where winners come from, the distance from 1 is what is known exactly.
  const exponential = below < beyond ? -Math.log(below * 2 ** -23) : -Math.log1p(-beyond * 2 ** -23);
  return -Math.log(exponential);
}
