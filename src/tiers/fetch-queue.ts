/**
 * Which byte ranges are fetched next: demands before guesses before background work, so many at a time, neighbours in
 * one request. A range that is already on its way is joined, not fetched twice. Where bytes are kept is not its business.
 */
import type { ByteSource } from "../sources/byte-source.ts";
import { abortError, throwIfAborted } from "../util/abort.ts";
import { Owners } from "../util/owners.ts";
import { CONNECTIONS, LaneCount, type Run } from "./lanes.ts";
import type { ReadOptions, ReadPriority } from "./read-expert.ts";

/** `length` bytes of `source` from `offset`. */
export interface SourceRange {
  readonly source: ByteSource;
  readonly offset: number;
  readonly length: number;
}

export interface FetchCounts {
  /** Reads of sources. */
  fetchRequests: number;
  /** Ranges that travelled in another's request, and those that were on their way when they were asked for again. */
  fetchesMerged: number;
  fetchesJoined: number;
}

const URGENCY: Readonly<Record<ReadPriority, number>> = { demand: 2, guess: 1, background: 0 };

/** A gap this wide costs less than another request anywhere: 16 KiB take a millisecond at 130 Mbit/s. */
const FREE_GAP_BYTES = 16 * 1024;
/** Wider gaps are read where requests wait for each other and a gap takes less time, up to so many bytes for one wanted. */
const MOST_FOR_WANTED = 1.25;
/** Merging stops here, so that one request does not keep the other lanes idle. */
const MAX_MERGED_BYTES = 4 * 2 ** 20;

interface Waiter {
  readonly resolve: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: () => void;
}

/** One wanted range. Without a request it waits. */
interface Task extends SourceRange {
  priority: ReadPriority;
  readonly waiters: Set<Waiter>;
  request: Request | undefined;
}

interface Request {
  readonly tasks: readonly Task[];
  readonly run: Run;
  readonly stop: AbortController;
  /** Readers who gave up last: they hear of it when the read has ended. */
  readonly abandoned: Waiter[];
}

export class FetchQueue {
  readonly counts: FetchCounts = { fetchRequests: 0, fetchesMerged: 0, fetchesJoined: 0 };
  /** Called whenever nothing is waiting or under way any more. */
  onIdle: (() => void) | undefined;
  #tasks: Task[] = [];
  readonly #lanes = new LaneCount();
  readonly #owners = new Owners();
  #pumping = false;

  /** Whether anything but background work is waiting or under way. */
  get busy(): boolean {
    return this.#tasks.some(({ priority }) => priority !== "background");
  }

  /**
   * The bytes of `range`. They may be a view that others were given too: not to be changed, nor transferred. The reader may
   * tell by `done` when it needs them no more.
   * @throws SourceError as the source does; `AbortError` when the signal fires, after the read has ended unless others
   *   still wait for it.
   */
  fetch(range: SourceRange, { priority, signal }: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal);
      const task = this.#join(range, priority) ?? this.#add(range, priority);
      const onAbort = (): void => this.#giveUp(task, waiter);
      const waiter: Waiter = { resolve, reject, signal, onAbort };
      signal?.addEventListener("abort", onAbort, { once: true });
      task.waiters.add(waiter);
      this.#schedule();
    });
  }

  /** A reader is done with what `fetch` gave it. Bytes that nobody has any more are empty from then on. */
  done(bytes: Uint8Array<ArrayBuffer>): void {
    this.#owners.done(bytes);
  }

  /** What lies within `range` and waits is as urgent as a demand from now on. */
  raise({ source, offset, length }: SourceRange): void {
    for (const task of this.#tasks) {
      const within = task.offset >= offset && task.offset + task.length <= offset + length;
      if (task.source === source && within) task.priority = "demand";
    }
    this.#schedule();
  }

  #join({ source, offset, length }: SourceRange, priority: ReadPriority): Task | undefined {
    const task = this.#tasks.find((other) => {
      const same = other.source === source && other.offset === offset && other.length === length;
      return same && !other.request?.stop.signal.aborted;
    });
    if (!task) return undefined;
    this.counts.fetchesJoined += 1;
    if (URGENCY[priority] > URGENCY[task.priority]) task.priority = priority;
    return task;
  }

  #add(range: SourceRange, priority: ReadPriority): Task {
    const { source, offset, length } = range;
    const task: Task = { source, offset, length, priority, waiters: new Set(), request: undefined };
    this.#tasks.push(task);
    return task;
  }

  #giveUp(task: Task, waiter: Waiter): void {
    task.waiters.delete(waiter);
    const { request } = task;
    if (request?.tasks.every(({ waiters }) => waiters.size === 0)) {
      request.abandoned.push(waiter);
      request.stop.abort();
      return;
    }
    if (!request && task.waiters.size === 0) this.#tasks.splice(this.#tasks.indexOf(task), 1);
    waiter.reject(abortError(waiter.signal));
    this.#schedule();
  }

  /** Starts what may start after the caller's turn, so that ranges asked for together can travel together. */
  #schedule(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      for (let task = this.#next(); task; task = this.#next()) void this.#run(this.#neighbours(task));
      if (this.#tasks.length === 0) this.onIdle?.();
    });
  }

  /** The most urgent waiting task that has a lane; the longest waiting of equals. */
  #next(): Task | undefined {
    let best: Task | undefined;
    for (const task of this.#tasks) {
      if (!task.request && (!best || URGENCY[task.priority] > URGENCY[best.priority])) best = task;
    }
    if (!best || !this.#lanes.mayStart(best.priority)) return undefined;
    return best.priority === "background" && this.busy ? undefined : best;
  }

  /** `first` and the waiting tasks of its priority that lie so near that one request serves all. */
  #neighbours(first: Task): Task[] {
    const candidates = this.#tasks
      .filter(({ source, priority, request }) => !request && source === first.source && priority === first.priority)
      .sort((a, b) => a.offset - b.offset);
    const at = candidates.indexOf(first);
    const found = [first];
    const gapBytes = this.#gapBytes(candidates.length);
    let wanted = first.length;
    let [start, end] = [first.offset, first.offset + first.length];
    const take = (task: Task | undefined): boolean => {
      if (!task) return false;
      const [from, to] = [Math.min(start, task.offset), Math.max(end, task.offset + task.length)];
      const gap = Math.max(start, task.offset) - Math.min(end, task.offset + task.length);
      if (gap > gapBytes || to - from > MAX_MERGED_BYTES) return false;
      if (gap > FREE_GAP_BYTES && to - from > MOST_FOR_WANTED * (wanted + task.length)) return false;
      found.push(task);
      wanted += task.length;
      [start, end] = [from, to];
      return true;
    };
    for (let i = at + 1; take(candidates[i]); i++);
    for (let i = at - 1; take(candidates[i]); i--);
    return found;
  }

  /** The widest gap that takes no longer than a request of its own, of `waiting` requests that could be saved. */
  #gapBytes(waiting: number): number {
    if (!this.#lanes.byTurns || waiting <= CONNECTIONS) return FREE_GAP_BYTES;
    return Math.max(FREE_GAP_BYTES, this.#lanes.bytesOfRequest);
  }

  async #run(tasks: readonly Task[]): Promise<void> {
    const [first] = tasks;
    if (!first) return;
    const request: Request = { tasks, run: this.#lanes.started(), stop: new AbortController(), abandoned: [] };
    for (const task of tasks) task.request = request;
    this.counts.fetchRequests += 1;
    this.counts.fetchesMerged += tasks.length - 1;
    const start = Math.min(...tasks.map(({ offset }) => offset));
    const end = Math.max(...tasks.map(({ offset, length }) => offset + length));
    try {
      const bytes = await first.source.read(start, end - start, request.stop.signal);
      this.#lanes.ended(request.run, bytes.length);
      this.#settle(request, (waiter, { offset, length }) => {
        this.#owners.add(bytes);
        waiter.resolve(bytes.subarray(offset - start, offset - start + length));
      });
    } catch (error) {
      this.#lanes.ended(request.run);
      this.#settle(request, (waiter) => waiter.reject(error));
    }
  }

  #settle({ tasks, abandoned }: Request, tell: (waiter: Waiter, task: Task) => void): void {
    this.#tasks = this.#tasks.filter((task) => !tasks.includes(task));
    for (const waiter of abandoned) waiter.reject(abortError(waiter.signal));
    for (const task of tasks) {
      for (const waiter of task.waiters) {
        waiter.signal?.removeEventListener("abort", waiter.onAbort);
        tell(waiter, task);
      }
    }
    this.#schedule();
  }
}
