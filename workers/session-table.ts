/** Sessions, and generations over them, under numbers: neither crosses the worker's border. */
import type { OpenedSession, WireGenerateOptions } from "../src/client/protocol.ts";
import type { Drawn, FinishReason } from "../src/client/types.ts";
import type { Engine } from "../src/engine/engine.ts";
import type { Session } from "../src/engine/session.ts";
import { UsageError } from "../src/errors.ts";
import { generate } from "../src/generate/generate.ts";
import type { Hold } from "../src/grammar/types.ts";
import type { ModelTokenizer } from "../src/tokenizer/load.ts";

interface Generation {
  readonly drawn: AsyncGenerator<Drawn, FinishReason, undefined>;
  signal: AbortSignal | undefined;
}

export class SessionTable {
  readonly #engine: Engine;
  readonly #stopIds: readonly number[];
  readonly #hold: () => Hold | undefined;
  readonly #sessions = new Map<number, Session>();
  readonly #generations = new Map<number, Generation>();
  #nextId = 1;

  /** @param hold what holds texts to constraints, asked when a generation begins. */
  constructor(
    { engine, tokenizer }: { readonly engine: Engine; readonly tokenizer: ModelTokenizer | undefined },
    hold: () => Hold | undefined,
  ) {
    this.#engine = engine;
    this.#stopIds = [...engine.spec.stopIds, ...(tokenizer?.chatFormat.stopIds ?? [])];
    this.#hold = hold;
  }

  /** Gives a new session its number. */
  add(session: Session): OpenedSession {
    const sessionId = this.#nextId++;
    this.#sessions.set(sessionId, session);
    return { sessionId, contextLength: session.contextLength };
  }

  /** @throws UsageError for one that was disposed. */
  get(sessionId: number): Session {
    const session = this.#sessions.get(sessionId);
    if (!session) throw new UsageError("This session was disposed. Create another one.", { code: "disposed" });
    return session;
  }

  /** Frees a session; one that is not there any more is free. */
  async dispose(sessionId: number): Promise<void> {
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    if (session) await this.#engine.disposeSession(session);
  }

  /** The number of a generation; nothing runs before its first `next`. @throws UsageError, UnsupportedError. */
  generate(sessionId: number, options: WireGenerateOptions): number {
    const generation: Partial<Generation> = {};
    const session = this.get(sessionId);
    const drawn = generate(session, options, this.#stopIds, () => generation.signal, this.#hold());
    const generationId = this.#nextId++;
    this.#generations.set(generationId, Object.assign(generation, { drawn, signal: undefined }));
    return generationId;
  }

  /** The next token, or why there is none. @throws UsageError for a generation that has ended; what drawing throws. */
  async next(generationId: number, signal: AbortSignal): Promise<Drawn | FinishReason> {
    const generation = this.#generations.get(generationId);
    if (!generation) throw new UsageError("This generation has ended. Start another one.");
    generation.signal = signal;
    return (await generation.drawn.next()).value;
  }

  /** Leaves the rest of a generation undrawn. */
  async return(generationId: number): Promise<void> {
    await this.#generations.get(generationId)?.drawn.return("stop");
    this.#generations.delete(generationId);
  }
}
