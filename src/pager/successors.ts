/**
 * Who follows whom: for every expert chosen at one place, how often each expert was chosen at the next. The places are
 * two MoE layers of one token, or one layer at two tokens. Counts are learned as they come and forget slowly.
 * Method: first-order transition counts, shrunk towards how often an expert is chosen at all.
 */

/** A row that reaches this is halved: rows fit bytes, and old habits fade. */
const ROW_LIMIT = 255;

/** A row's own evidence outweighs the general frequency after this many observations. */
const PRIOR_OBSERVATIONS = 4;

export class Successors {
  /** Row of an expert [numTo]: how often each followed it. Made when the expert is first chosen. */
  readonly #rows: (Uint8Array | undefined)[];
  /** Observations in every row. */
  readonly #seen: Float64Array;
  /** How often each expert of the next place was chosen, of `#events`. */
  readonly #uses: Float64Array;
  #events = 0;

  constructor(numFrom: number, numTo: number) {
    this.#rows = new Array<Uint8Array | undefined>(numFrom).fill(undefined);
    this.#seen = new Float64Array(numFrom);
    this.#uses = new Float64Array(numTo);
  }

  /** Bytes of all counts. */
  get bytes(): number {
    return this.#rows.reduce((sum, row) => sum + (row?.length ?? 0), this.#seen.byteLength + this.#uses.byteLength);
  }

  /** `to` was chosen after `from`. */
  learn(from: readonly number[], to: readonly number[]): void {
    this.begin(from);
    for (const next of to) this.follow(from, next);
  }

  /** Something was chosen after `from`; `follow` tells what, an expert at a time. */
  begin(from: readonly number[]): void {
    this.#events += 1;
    for (const expert of from) this.#seen[expert] = (this.#seen[expert] ?? 0) + 1;
  }

  /** `next` was among what was chosen after `from`. */
  follow(from: readonly number[], next: number): void {
    this.#uses[next] = (this.#uses[next] ?? 0) + 1;
    for (const expert of from) {
      const row = this.#row(expert);
      const count = (row[next] ?? 0) + 1;
      row[next] = count;
      if (count === ROW_LIMIT) this.#halve(expert, row);
    }
  }

  /** Share of events at the next place that chose `expert`, 0 when nothing was learned. */
  frequency(expert: number): number {
    return this.#events > 0 ? (this.#uses[expert] ?? 0) / this.#events : 0;
  }

  /** Probability that `expert` is chosen next, given that `from` were chosen: the mean over them. */
  probability(expert: number, from: readonly number[]): number {
    const prior = PRIOR_OBSERVATIONS * this.frequency(expert);
    let sum = 0;
    for (const given of from) {
      sum += ((this.#rows[given]?.[expert] ?? 0) + prior) / ((this.#seen[given] ?? 0) + PRIOR_OBSERVATIONS);
    }
    return from.length > 0 ? sum / from.length : this.frequency(expert);
  }

  /** `probability` over `frequency`: above 1 where `from` speak for `expert`; 1 for an expert never seen. */
  lift(expert: number, from: readonly number[]): number {
    const frequency = this.frequency(expert);
    return frequency > 0 ? this.probability(expert, from) / frequency : 1;
  }

  #row(expert: number): Uint8Array {
    const row = this.#rows[expert] ?? new Uint8Array(this.#uses.length);
    this.#rows[expert] = row;
    return row;
  }

  #halve(expert: number, row: Uint8Array): void {
    for (let next = 0; next < row.length; next++) row[next] = (row[next] ?? 0) >> 1;
    this.#seen[expert] = (this.#seen[expert] ?? 0) / 2;
  }
}
