/**
 * Holds texts of one vocabulary to grammars: which ids may come next, as a bit mask. The work is the kept engine's; here
 * its vocabulary is built, from bytes, with one more id than the model has, which stands for the end of the text.
 */
import { UnsupportedError, UsageError } from "../errors.ts";
import { constraintGrammar } from "./constraint-grammar.ts";
import { type GrammarCompiler, type GrammarLibrary, type GrammarMatcher, loadLibrary } from "./library.ts";
import type { Allowed, Constraint, Held, TokenBytes } from "./types.ts";

/** Bytes that are nowhere in UTF-8: a token with one of them says nothing. See `ebnf.ts` for what 0xff is used for. */
const NOT_UTF8 = /[\xc0\xc1\xf5-\xff]/;

export class GrammarEngine {
  readonly #loaded: GrammarLibrary;
  readonly #compiler: GrammarCompiler;
  readonly #vocabSize: number;

  private constructor(loaded: GrammarLibrary, compiler: GrammarCompiler, vocabSize: number) {
    this.#loaded = loaded;
    this.#compiler = compiler;
    this.#vocabSize = vocabSize;
  }

  /** @throws UnsupportedError where WebAssembly cannot run. */
  static async create({ bytes, ends }: TokenBytes): Promise<GrammarEngine> {
    const loaded = await loadLibrary().catch((error: unknown) => {
      throw new UnsupportedError(`A constraint needs WebAssembly, which did not start here: ${String(error)}`);
    });
    const { TokenizerInfo, GrammarCompiler } = loaded.library;
    const tokens = Array.from(ends, (end, id) => spelled(bytes.subarray(id === 0 ? 0 : ends[id - 1], end)));
    const end = tokens.length;
    // The library's types know texts only; it takes the bytes of what is no text.
    const vocabulary = [...tokens, ""] as string[];
    const info = await TokenizerInfo.createTokenizerInfo(vocabulary, "raw", false, end + 1, [end]);
    return new GrammarEngine(loaded, await GrammarCompiler.createGrammarCompiler(info, true), end);
  }

  /** @throws UsageError for a constraint that is malformed or cannot be held to. */
  async hold(constraint: Constraint): Promise<Held> {
    const grammar = constraintGrammar(constraint);
    this.#loaded.takePrinted();
    try {
      const compiled = await this.#compiler.compileGrammar(grammar);
      const matcher = await this.#loaded.library.GrammarMatcher.createGrammarMatcher(compiled);
      return new HeldText(matcher, this.#vocabSize, () => compiled.dispose());
    } catch (error) {
      throw new UsageError(
        `The constraint is no grammar that can be held to: ${reason(this.#loaded.takePrinted(), error)}`,
      );
    }
  }
}

class HeldText implements Held {
  readonly #matcher: GrammarMatcher;
  readonly #vocabSize: number;
  readonly #release: () => void;
  #refused: number | undefined;
  #disposed = false;

  constructor(matcher: GrammarMatcher, vocabSize: number, release: () => void) {
    this.#matcher = matcher;
    this.#vocabSize = vocabSize;
    this.#release = release;
  }

  async allowed(): Promise<Allowed> {
    if (this.#refused !== undefined)
      throw new UsageError(`The constraint does not allow the id ${this.#refused} here.`);
    const mask = await this.#matcher.getNextTokenBitmask();
    const mayEnd = bit(mask, this.#vocabSize);
    if (mayEnd) mask[this.#vocabSize >>> 5] = (mask[this.#vocabSize >>> 5] ?? 0) & ~(1 << (this.#vocabSize & 31));
    return { mask, mayEnd, mustEnd: mayEnd && mask.every((word) => word === 0) };
  }

  accept(id: number): void {
    if (!this.#matcher.acceptToken(id)) this.#refused ??= id;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#matcher.dispose();
    this.#release();
  }
}

function bit(mask: Int32Array, id: number): boolean {
  return (((mask[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 1;
}

/** What the engine knows a token by: its bytes, or nothing, which it never allows. */
function spelled(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | "" {
  const known = bytes.length > 0 && !NOT_UTF8.test(String.fromCharCode(...bytes));
  return known ? bytes.slice() : "";
}

/** The engine names the place in its own sources first, which is no help. */
function reason(printed: readonly string[], error: unknown): string {
  const fatal = printed.find((line) => line.includes("[FATAL]"));
  return fatal?.replace(/^.*?\.cc:\d+: /s, "") ?? String(error);
}
