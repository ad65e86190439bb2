/**
 * One story being told: the beginning's tokens, a session that holds them, and the answer as it grows. No DOM here.
 * Text is decoded from all ids so far and the prompt's text is cut off the front, so a character made of several
 * tokens appears once it is whole.
 */
import type { Model, Session } from "../../src/index.ts";
import type { Sampling } from "../settings/settings.ts";

/** Why the model paused: the token limit, a stop token, a full context, or the reader. */
export type Ending = "length" | "story" | "context" | "stopped";

export interface TellOptions extends Sampling {
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Gets the whole answer so far. */
  readonly onText: (text: string, tokens: number) => void;
}

export class Telling {
  readonly #model: Model;
  readonly #promptIds: readonly number[];
  readonly #promptText: string;
  #answer: number[] = [];
  #session: Session | null = null;

  private constructor(model: Model, promptIds: readonly number[], promptText: string) {
    this.#model = model;
    this.#promptIds = promptIds;
    this.#promptText = promptText;
  }

  static async open(model: Model, beginning: string): Promise<Telling> {
    const ids = await model.encode(beginning);
    return new Telling(model, ids, await model.decode(ids));
  }

  /** Tokens of the answer so far. */
  get written(): number {
    return this.#answer.length;
  }

  /** Continues the story by at most `options.maxTokens`. @returns why it paused; an abort is not an error here. */
  async tell(options: TellOptions): Promise<Ending> {
    const before = this.#answer.length;
    try {
      const session = await this.#ready(options.signal);
      await this.#pull(session, options);
      if (this.#promptIds.length + this.#answer.length >= session.contextLength) return "context";
      return this.#answer.length - before >= options.maxTokens ? "length" : "story";
    } catch (error) {
      if (!options.signal.aborted) throw error;
      await this.#catchUp(options);
      return "stopped";
    }
  }

  async dispose(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.dispose();
  }

  /** The session with the prompt in it. A prefill that fails half-way leaves no session behind. */
  async #ready(signal: AbortSignal): Promise<Session> {
    if (this.#session) return this.#session;
    const session = await this.#model.createSession();
    try {
      await session.prefill([...this.#promptIds, ...this.#answer], { signal });
    } catch (error) {
      await session.dispose().catch(() => {});
      throw error;
    }
    this.#session = session;
    return session;
  }

  async #pull(session: Session, options: TellOptions): Promise<void> {
    const { onText: _, ...sampling } = options;
    const text = new TextTail(
      () => this.#text(),
      (shown) => options.onText(shown, this.#answer.length),
    );
    for await (const id of session.generate(sampling)) {
      this.#answer.push(id);
      text.refresh();
    }
    await text.finish();
  }

  /** After a stop: the timeline knows best which tokens are in it. */
  async #catchUp(options: TellOptions): Promise<void> {
    if (!this.#session) return;
    const timeline = await this.#session.tokens();
    this.#answer = timeline.slice(this.#promptIds.length);
    options.onText(await this.#text(), this.#answer.length);
  }

  async #text(): Promise<string> {
    const whole = await this.#model.decode([...this.#promptIds, ...this.#answer]);
    return whole.slice(this.#promptText.length);
  }
}

/** Decodes behind the generation, never more than one call at a time, and holds back a character still incomplete. */
class TextTail {
  readonly #decode: () => Promise<string>;
  readonly #show: (text: string) => void;
  #running: Promise<void> | null = null;
  #stale = false;

  constructor(decode: () => Promise<string>, show: (text: string) => void) {
    this.#decode = decode;
    this.#show = show;
  }

  refresh(): void {
    this.#stale = true;
    if (this.#running !== null) return;
    this.#running = this.#run();
    this.#running.catch(() => {});
  }

  /** Waits for the last decode and shows everything; throws what a decode threw. */
  async finish(): Promise<void> {
    await this.#running;
    this.#show(await this.#decode());
  }

  async #run(): Promise<void> {
    while (this.#stale) {
      this.#stale = false;
      const text = await this.#decode();
      this.#show(text.replace(/\uFFFD+$/u, ""));
    }
    this.#running = null;
  }
}
