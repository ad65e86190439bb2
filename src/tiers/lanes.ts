/**
 * How many requests may be under way. Over HTTP/2 and 3 they run side by side; over HTTP/1.1 a browser gives a host six
 * connections, and the rest wait in it, where a demand could no longer overtake a guess. Servers do not say which it is
 * across origins, so it is measured: whether the seventh request and those after it take longer than the first six.
 */
import { LinearCost, RunningMean } from "../util/running.ts";
import type { ReadPriority } from "./read-expert.ts";

/** What browsers give one HTTP/1.1 host. */
export const CONNECTIONS = 6;
/** Requests that wait for a connection take at least twice the time; those that share a link's bandwidth, all the same. */
const WAITING = 1.5;

/** Requests under way up to which one of that priority may start. */
type Lanes = Readonly<Record<ReadPriority, number>>;
const SIDE_BY_SIDE: Lanes = { demand: 48, guess: 32, background: 2 };
/** Guesses leave connections for a demand. Demands may wait in the browser as well as here. */
const BY_TURNS: Lanes = { demand: 16, guess: 4, background: 2 };

/** A request that has started. */
export interface Run {
  /** How many were under way with it. */
  readonly number: number;
  readonly startedAt: number;
}

export class LaneCount {
  #running = 0;
  /** Milliseconds of one of the first six requests over its bytes. */
  readonly #cost = new LinearCost();
  /** How many times as long the others take. */
  readonly #longer = new RunningMean(1);

  /** Whether requests beyond a browser's connections wait for the others. */
  get byTurns(): boolean {
    return this.#longer.value > WAITING;
  }

  mayStart(priority: ReadPriority): boolean {
    return this.#running < (this.byTurns ? BY_TURNS : SIDE_BY_SIDE)[priority];
  }

  started(): Run {
    this.#running += 1;
    return { number: this.#running, startedAt: performance.now() };
  }

  /** The request has ended; with `bytes` when they all came. */
  ended({ number, startedAt }: Run, bytes?: number): void {
    this.#running -= 1;
    if (bytes === undefined) return;
    const ms = performance.now() - startedAt;
    if (number <= CONNECTIONS) this.#cost.add(bytes, ms);
    else this.#longer.add(Math.min(4, ms / Math.max(0.1, this.#cost.at(bytes))));
  }

  /** Bytes that take as long as a request that need not be sent, where requests wait for each other. */
  get bytesOfRequest(): number {
    const { slope, intercept } = this.#cost;
    return slope > 0 ? intercept / CONNECTIONS / slope : Number.POSITIVE_INFINITY;
  }
}
