/**
 * How many requests may be under way. Over HTTP/2 and 3 they run side by side; over HTTP/1.1 a browser gives a host six
 * connections, and the rest wait in it, where a demand could no longer overtake a guess. Servers do not say which it is
 * across origins, so it is measured: whether requests beyond the first six take another's time longer for every six that went
 * before. Those that only share a processor or a link's bandwidth with them take longer too, but far less.
 */
import { LinearCost, RunningMean } from "../util/running.ts";
import type { ReadPriority } from "./read-expert.ts";

/** What browsers give one HTTP/1.1 host. */
export const CONNECTIONS = 6;
/** Share of a request's time that is waited for each six before it: 1 where they go by turns, near 0 where they do not. */
const WAITING = 0.5;

/** What one late answer may count. */
const MOST_WAITS = 4;

/** Requests under way up to which one of that priority may start. */
type Lanes = Readonly<Record<ReadPriority, number>>;
const SIDE_BY_SIDE: Lanes = { demand: 96, guess: 64, background: 2 };
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
  /** Of its time alone, what one of the others waits for each six before it. */
  readonly #waits = new RunningMean(0);

  /** Whether requests beyond a browser's connections wait for the others. */
  get byTurns(): boolean {
    return this.#waits.value > WAITING;
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
    if (number <= CONNECTIONS) {
      this.#cost.add(bytes, ms);
      return;
    }
    const turns = Math.ceil(number / CONNECTIONS) - 1;
    this.#waits.add(Math.min(MOST_WAITS, (ms / Math.max(0.1, this.#cost.at(bytes)) - 1) / turns));
  }

  /** Bytes that take as long as a request that need not be sent, where requests wait for each other. */
  get bytesOfRequest(): number {
    const { slope, intercept } = this.#cost;
    return slope > 0 ? intercept / CONNECTIONS / slope : Number.POSITIVE_INFINITY;
  }
}
