/**
 * Where the time of a step went, by the host's clock: moments in order, and what the step did until each of them. The
 * parts add up to the step's time, for every millisecond between two moments belongs to one part.
 */
import type { ReadTimes } from "../gpu/queue.ts";
import type { StepTimes } from "./types.ts";

type Part = "compute" | "readBack" | "stall" | "fetch" | "idle";

export class StepClock {
  readonly #parts: Record<Part, number> = { compute: 0, readBack: 0, stall: 0, fetch: 0, idle: 0 };
  /** Whether somebody looks, so that the GPU is asked when it is through. */
  readonly exact: boolean;
  readonly #start: number;
  #at: number;

  /** @param start the step's beginning, in milliseconds as all moments here. */
  constructor(start: number, exact: boolean) {
    this.exact = exact;
    this.#start = start;
    this.#at = start;
  }

  /** Until `moment` the step did `part`. A moment that lies before the last one adds nothing. */
  until(part: Part, moment: number): void {
    if (!(moment > this.#at)) return;
    this.#parts[part] += moment - this.#at;
    this.#at = moment;
  }

  /** A submission was run and its result read at `times`; nobody had asked for it before `asked`. */
  ranAndRead(times: ReadTimes, asked = this.#start): void {
    this.until("compute", times.doneAt ?? times.readAt);
    this.until("readBack", times.readAt);
    this.until("idle", asked);
    this.until("readBack", performance.now());
  }

  /** Experts came until now; of that time the host was busy for `placeMs` with putting them into slots. */
  fetched(placeMs: number): void {
    const now = performance.now();
    this.until("stall", now - placeMs);
    this.until("fetch", now);
  }

  /** Milliseconds from the start to the last moment. */
  get ms(): number {
    return this.#at - this.#start;
  }

  get times(): StepTimes {
    const { compute, readBack, stall, fetch, idle } = this.#parts;
    return { computeMs: compute, readBackMs: readBack, stallMs: stall, fetchMs: fetch, idleMs: idle };
  }
}
