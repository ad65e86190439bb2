/**
 * Sessions that requests share one after another. A request takes the idle one whose timeline has the longest beginning in
 * common with its prompt, and the session is rewound to that; so a conversation that goes on, is edited or branches only
 * computes what is new. Which session serves changes what is computed, and by which path, never which tokens are asked for.
 */
import { untilAborted } from "../util/abort.ts";
import type { PrefixReuse } from "./openai-types.ts";

/** What the pool needs of a session. */
export interface PooledSession {
  readonly tokens: readonly number[];
  /** How many of the first `length` tokens would stay computed after a rewind to there. */
  kept(length: number, phase?: "prefill"): number;
  rewind(length: number): void;
}

/** Where sessions come from. */
export interface SessionSource<S> {
  /** Rejects as soon as `signal` fires, and keeps nothing then. */
  make(signal?: AbortSignal): Promise<S>;
  drop(session: S): Promise<void>;
  /** Runs `task` between two steps; rejects as soon as `signal` fires before that, and never runs it then. */
  between<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}

export class SessionPool<S extends PooledSession> {
  readonly #source: SessionSource<S>;
  readonly #keep: number;
  /** The longest unused first. */
  #idle: S[] = [];
  #busy = 0;

  /** @param keep sessions that stay when nothing runs. Requests that run at once may have more. */
  constructor(source: SessionSource<S>, keep: number) {
    this.#source = source;
    this.#keep = keep;
  }

  get idle(): number {
    return this.#idle.length;
  }

  /**
   * A session whose timeline is the first `reused` of `ids`, computed. The last of `ids` is never among them: what follows
   * it has to be computed. @throws BudgetError when another session was needed and finds no room; `AbortError` as soon as
   * `signal` fires, with the session back where it was.
   */
  async take(
    ids: readonly number[],
    reuse: PrefixReuse,
    signal?: AbortSignal,
  ): Promise<{ session: S; reused: number }> {
    const found = this.#choose(ids, reuse);
    this.#busy += 1;
    let session = found?.session;
    try {
      const reused = found?.reused ?? 0;
      session ??= await this.#source.make(signal);
      await this.#rewind(session, reused, signal);
      return { session, reused };
    } catch (error) {
      if (session) await this.give(session, signal);
      else this.#busy -= 1;
      throw error;
    }
  }

  /**
   * Takes a session in use back to a prompt of `length` tokens that it has. @returns how many of them stay computed.
   * @throws `AbortError` as soon as `signal` fires.
   */
  async back(session: S, length: number, signal?: AbortSignal): Promise<number> {
    const kept = session.kept(length - 1);
    await this.#rewind(session, kept, signal);
    return kept;
  }

  #rewind(session: S, length: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#source.between(async () => session.rewind(length), signal);
  }

  /**
   * Gives a session back. Those beyond the number to keep end, the longest unused first, each when it is its turn; who has
   * been aborted does not wait for that.
   */
  async give(session: S, signal?: AbortSignal): Promise<void> {
    this.#busy -= 1;
    this.#idle.push(session);
    const over = this.#idle.splice(0, Math.max(0, this.#idle.length - this.#keep));
    const ended = Promise.all(over.map((oldest) => this.#source.drop(oldest)));
    await untilAborted(ended, signal).catch((error: unknown) => {
      if (!signal?.aborted) throw error;
    });
  }

  #choose(ids: readonly number[], reuse: PrefixReuse): { session: S; reused: number } | undefined {
    let best: { session: S; reused: number } | undefined;
    for (const session of this.#idle) {
      const reused = reuse === "none" ? 0 : reusable(session, ids, reuse);
      if (!best || reused > best.reused) best = { session, reused };
    }
    if (!best) return undefined;
    // Another conversation keeps its session while there may be more of them.
    const lost = best.session.tokens.length - best.reused;
    if (lost > best.reused && this.#idle.length + this.#busy < this.#keep) return undefined;
    this.#idle = this.#idle.filter((session) => session !== best.session);
    return best;
  }
}

/** Tokens of `ids` that `session` has computed and would keep; rings may have lost what a rewind to there needs. */
function reusable(session: PooledSession, ids: readonly number[], reuse: PrefixReuse): number {
  const { tokens } = session;
  const most = Math.min(tokens.length, ids.length - 1);
  let common = 0;
  while (common < most && tokens[common] === ids[common]) common += 1;
  return session.kept(common, reuse === "exact" ? "prefill" : undefined);
}
