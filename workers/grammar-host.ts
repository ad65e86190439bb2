/** The grammar worker's work: one vocabulary, and texts under numbers that are held to constraints over it. */
import { transfer } from "comlink";
import { GrammarEngine } from "../src/grammar/grammar-engine.ts";
import type { Allowed, Constraint, Held, TokenBytes } from "../src/grammar/types.ts";

export interface GrammarApi {
  /** Once, before anything else. */
  open(vocabulary: TokenBytes): Promise<void>;
  /** The number of a text that is held to `constraint`. @throws UsageError for what cannot be held to. */
  hold(constraint: Constraint): Promise<number>;
  /** What may come next in `text`, after `id` where one is given. */
  next(text: number, id?: number): Promise<Allowed>;
  release(text: number): Promise<void>;
  /** The engine aborted, and should not be used for other constraints. */
  aborted(): Promise<boolean>;
}

export class GrammarHost implements GrammarApi {
  readonly #texts = new Map<number, Held>();
  #engine: GrammarEngine | undefined;
  #nextText = 1;

  async open(vocabulary: TokenBytes): Promise<void> {
    this.#engine = await GrammarEngine.create(vocabulary);
  }

  async hold(constraint: Constraint): Promise<number> {
    if (!this.#engine) throw new RangeError("no vocabulary was opened");
    const held = await this.#engine.hold(constraint);
    const text = this.#nextText++;
    this.#texts.set(text, held);
    return text;
  }

  async next(text: number, id?: number): Promise<Allowed> {
    const held = this.#texts.get(text);
    if (!held) throw new RangeError(`text ${text} was released`);
    if (id !== undefined) held.accept(id);
    const allowed = await held.allowed();
    return transfer(allowed, [allowed.mask.buffer]);
  }

  async release(text: number): Promise<void> {
    this.#texts.get(text)?.dispose();
    this.#texts.delete(text);
  }

  async aborted(): Promise<boolean> {
    return this.#engine?.aborted ?? true; // without a vocabulary it is of no use either
  }
}
