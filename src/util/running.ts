/** Running estimates in which old measurements fade. */

/** Weight that a measurement keeps when the next one comes, where nothing else is said. */
const MEMORY = 0.95;

/** A mean, begun with a guess. */
export class RunningMean {
  value: number;

  constructor(first: number) {
    this.value = first;
  }

  add(value: number): void {
    this.value = MEMORY * this.value + (1 - MEMORY) * value;
  }
}

/** Least squares of cost = intercept + slope * amount, neither below zero. */
export class LinearCost {
  readonly #memory: number;
  #weight = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;

  constructor(memory = MEMORY) {
    this.#memory = memory;
  }

  /** Nothing was measured yet. */
  get isEmpty(): boolean {
    return this.#weight === 0;
  }

  add(x: number, y: number): void {
    this.#weight = this.#memory * this.#weight + 1;
    this.#x = this.#memory * this.#x + x;
    this.#y = this.#memory * this.#y + y;
    this.#xx = this.#memory * this.#xx + x * x;
    this.#xy = this.#memory * this.#xy + x * y;
  }

  get slope(): number {
    if (this.#weight === 0) return 0;
    const spread = this.#xx - (this.#x * this.#x) / this.#weight;
    if (spread < 1e-6 * this.#xx) return this.#x > 0 ? this.#y / this.#x / 2 : 0; // one amount only: half and half
    const slope = (this.#xy - (this.#x * this.#y) / this.#weight) / spread;
    return Math.min(Math.max(0, slope), this.#x > 0 ? this.#y / this.#x : 0);
  }

  get intercept(): number {
    return this.#weight === 0 ? 0 : Math.max(0, (this.#y - this.slope * this.#x) / this.#weight);
  }

  at(x: number): number {
    return this.intercept + this.slope * x;
  }
}
