/**
 * The engine's side of the grammar worker. It is started with the first constraint, works out what may come next while
 * the GPU computes, and is let go after a constraint made its engine abort, as soon as nothing is held there any more.
 */
import { type Remote, releaseProxy, transfer, wrap } from "comlink";
import { UnsupportedError } from "../src/errors.ts";
import type { Allowed, Constraint, Held, Hold, TokenBytes } from "../src/grammar/types.ts";
import { throwIfAborted, untilAborted } from "../src/util/abort.ts";
import type { GrammarApi } from "./grammar-host.ts";

/** Where texts can be held to constraints. */
export interface GrammarPlace {
  readonly startGrammarWorker?: (() => Worker) | undefined;
  readonly holdHere?: ((vocabulary: TokenBytes) => Promise<Hold>) | undefined;
}

export class GrammarClient {
  readonly #place: GrammarPlace;
  readonly #vocabulary: () => TokenBytes;
  #here: Promise<Hold> | undefined;
  #current: GrammarConnection | undefined;

  /** @param vocabulary is made for each worker anew, since it is given away. */
  constructor(place: GrammarPlace, vocabulary: () => TokenBytes) {
    this.#place = place;
    this.#vocabulary = vocabulary;
  }

  /** @throws UsageError for what cannot be held to; UnsupportedError where the engine does not start; `AbortError`. */
  readonly hold: Hold = async (constraint, signal) => {
    throwIfAborted(signal);
    const { startGrammarWorker, holdHere } = this.#place;
    if (startGrammarWorker) return this.#holdThere(startGrammarWorker, constraint, signal);
    if (!holdHere) throw new UnsupportedError("A constraint needs nested workers, which are not to be had here.");
    this.#here ??= holdHere(this.#vocabulary());
    const hold = await untilAborted(this.#here, signal);
    return untilAborted(hold(constraint, signal), signal, (late) => late.dispose());
  };

  /** Whoever waits is told. The worker ends with this one, whose end comes next; see `IoClient.close`. */
  close(): void {
    this.#current?.leave();
    this.#current = undefined;
  }

  async #holdThere(start: () => Worker, constraint: Constraint, signal: AbortSignal | undefined): Promise<Held> {
    this.#current ??= new GrammarConnection(start(), this.#vocabulary());
    const connection = this.#current;
    // A grammar that takes long to compile cannot be interrupted but with its worker.
    const leave = (): void => this.#drop(connection, true);
    signal?.addEventListener("abort", leave);
    try {
      // Where another text is held there, the worker goes on: it is not waited for.
      return await untilAborted(connection.hold(constraint), signal, (late) => late.dispose());
    } catch (error) {
      throwIfAborted(signal);
      if (await untilAborted(connection.isSpent(), signal)) this.#drop(connection, false);
      throw error;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  #drop(connection: GrammarConnection, atOnce: boolean): void {
    if (this.#current === connection) this.#current = undefined;
    if (atOnce && !connection.isShared) connection.close();
    else connection.retire();
  }
}

/** One grammar worker. */
class GrammarConnection {
  readonly #worker: Worker;
  readonly #api: Remote<GrammarApi>;
  readonly #opened: Promise<void>;
  readonly #waiting = new Set<(error: Error) => void>();
  #failed = false;
  #held = 0;
  #retired = false;
  #left = false;

  constructor(worker: Worker, vocabulary: TokenBytes) {
    this.#worker = worker;
    this.#api = wrap<GrammarApi>(worker);
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(`The grammar worker stopped: ${event.message || "its script did not load"}.`);
    });
    const buffers = [vocabulary.bytes.buffer, vocabulary.ends.buffer];
    this.#opened = this.#call(() => this.#api.open(transfer(vocabulary, buffers)));
    this.#opened.catch(() => {}); // whoever holds a text hears of it
  }

  /** More than one text is held there, or about to be. */
  get isShared(): boolean {
    return this.#held > 1;
  }

  async isSpent(): Promise<boolean> {
    return this.#failed || this.#call(() => this.#api.aborted()).catch(() => true);
  }

  async hold(constraint: Constraint): Promise<Held> {
    this.#held += 1;
    try {
      await this.#opened;
      return this.#heldText(await this.#call(() => this.#api.hold(constraint)));
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** Ends the worker when nothing is held there any more. */
  retire(): void {
    this.#retired = true;
    if (this.#held === 0) this.close();
  }

  close(): void {
    if (this.#left) return;
    this.leave();
    this.#worker.terminate();
  }

  leave(): void {
    this.#left = true;
    this.#fail("The grammar worker was ended.");
    this.#api[releaseProxy]();
  }

  #call<T>(run: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failed) throw new UnsupportedError("The grammar worker has stopped.");
      this.#waiting.add(reject);
      run()
        .then(resolve, reject)
        .finally(() => this.#waiting.delete(reject));
    });
  }

  #heldText(text: number): Held {
    const ask = (id?: number): Promise<Allowed> => {
      const asked = this.#call(() => this.#api.next(text, id));
      asked.catch(() => {}); // whoever asks what is allowed hears of it
      return asked;
    };
    let next: Promise<Allowed> | undefined;
    let disposed = false;
    return {
      allowed: () => {
        next ??= ask();
        return next;
      },
      accept: (id) => {
        next = ask(id);
      },
      dispose: () => {
        if (disposed) return;
        disposed = true;
        this.#call(() => this.#api.release(text)).catch(() => {}); // a worker that ended has released it
        this.#release();
      },
    };
  }

  #release(): void {
    this.#held -= 1;
    if (this.#retired && this.#held === 0) this.close();
  }

  #fail(message: string): void {
    this.#failed = true;
    for (const reject of this.#waiting) reject(new UnsupportedError(message));
    this.#waiting.clear();
  }
}
