/**
 * Holds texts of one vocabulary to grammars: which ids may come next, as a bit mask. The work is the kept engine's; here
 * its vocabulary is built, from bytes, with one more id than the model has, which stands for the end of the text.
 */
import { UnsupportedError, UsageError } from "../errors.ts";
import { constraintGrammar } from "./constraint-grammar.ts";
import { type GrammarCompiler, type GrammarLibrary, type GrammarMatcher, loadLibrary } from "./library.ts";
import type { Allowed, Constraint, Held, TokenBytes } from "./types.ts";

/**
 * What is nowhere in UTF-8, as a character a byte, and U+2028 and U+2029, which a pattern's `.` must not match. The engine's
 * own classes know leading and following bytes only. See `ebnf.ts` for what 0xff is used for.
 */
const NEVER = /[\xc0\xc1\xf5-\xff]|\xe0[\x80-\x9f]|\xed[\xa0-\xbf]|\xf0[\x80-\x8f]|\xf4[\x90-\xbf]|\xe2\x80[\xa8\xa9]/;
/** Ends of a text behind which a token may make that of what it begins with. */
const UNFINISHED = ["\xe0", "\xed", "\xf0", "\xf4", "\xe2", "\xe2\x80"];

export class GrammarEngine {
  readonly #loaded: GrammarLibrary;
  readonly #compiler: GrammarCompiler;
  readonly #vocabulary: Vocabulary;
  /** A grammar made the engine abort, which leaves it with a part of its memory lost. */
  aborted = false;

  private constructor(loaded: GrammarLibrary, compiler: GrammarCompiler, vocabulary: Vocabulary) {
    this.#loaded = loaded;
    this.#compiler = compiler;
    this.#vocabulary = vocabulary;
  }

  /** @throws UnsupportedError where WebAssembly cannot run. */
  static async create({ bytes, ends }: TokenBytes): Promise<GrammarEngine> {
    const loaded = await loadLibrary().catch((error: unknown) => {
      throw new UnsupportedError(`A constraint needs WebAssembly, which did not start here: ${String(error)}`);
    });
    const { TokenizerInfo, GrammarCompiler } = loaded.library;
    const texts = Array.from(ends, (end, id) => byteText(bytes.subarray(id === 0 ? 0 : ends[id - 1], end)));
    const tokens = texts.map((text) => (NEVER.test(text) ? "" : Uint8Array.from(text, (char) => char.charCodeAt(0))));
    const end = tokens.length;
    // The library's types know texts only; it takes the bytes of what is no text.
    const info = await TokenizerInfo.createTokenizerInfo([...tokens, ""] as string[], "raw", false, end + 1, [end]);
    const following = texts.flatMap((text, id) => (/^[\x80-\xbf]/.test(text) ? [[text, id] as const] : []));
    const barred = UNFINISHED.map((unfinished) => {
      const ids = following.filter(([text]) => NEVER.test(unfinished + text)).map(([, id]) => id);
      return [unfinished, ids] as const;
    });
    const compiler = await GrammarCompiler.createGrammarCompiler(info, true);
    return new GrammarEngine(loaded, compiler, { texts, barred });
  }

  /** @throws UsageError for a constraint that is malformed or cannot be held to. */
  async hold(constraint: Constraint): Promise<Held> {
    const grammar = constraintGrammar(constraint);
    this.#loaded.takePrinted();
    try {
      const compiled = await this.#compiler.compileGrammar(grammar);
      const matcher = await this.#loaded.library.GrammarMatcher.createGrammarMatcher(compiled);
      return new HeldText(matcher, this.#vocabulary, () => compiled.dispose());
    } catch (error) {
      this.aborted = true;
      throw new UsageError(
        `The constraint is no grammar that can be held to: ${reason(this.#loaded.takePrinted(), error)}`,
      );
    }
  }
}

interface Vocabulary {
  /** What each id spells, a character a byte. */
  readonly texts: readonly string[];
  /** Ids that must not follow a text that ends so. */
  readonly barred: readonly (readonly [string, readonly number[]])[];
}

class HeldText implements Held {
  readonly #matcher: GrammarMatcher;
  readonly #vocabulary: Vocabulary;
  /** The last bytes of the text. */
  #tail = "";
  readonly #release: () => void;
  #refused: number | undefined;
  #disposed = false;

  constructor(matcher: GrammarMatcher, vocabulary: Vocabulary, release: () => void) {
    this.#matcher = matcher;
    this.#vocabulary = vocabulary;
    this.#release = release;
  }

  async allowed(): Promise<Allowed> {
    if (this.#refused !== undefined)
      throw new UsageError(`The constraint does not allow the id ${this.#refused} here.`);
    const mask = await this.#matcher.getNextTokenBitmask();
    const { texts, barred } = this.#vocabulary;
    const mayEnd = bit(mask, texts.length);
    clear(mask, texts.length);
    for (const [unfinished, ids] of barred) if (this.#tail.endsWith(unfinished)) for (const id of ids) clear(mask, id);
    return { mask, mayEnd, mustEnd: mayEnd && mask.every((word) => word === 0) };
  }

  accept(id: number): void {
    if (!this.#matcher.acceptToken(id)) this.#refused ??= id;
    this.#tail = (this.#tail + (this.#vocabulary.texts[id] ?? "")).slice(-2);
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

function clear(mask: Int32Array, id: number): void {
  mask[id >>> 5] = (mask[id >>> 5] ?? 0) & ~(1 << (id & 31));
}

/** Characters of a pattern that works on bytes. */
function byteText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** The engine names the place in its own sources first, which is no help. */
function reason(printed: readonly string[], error: unknown): string {
  const fatal = printed.find((line) => line.includes("[FATAL]"));
  return fatal?.replace(/^.*?\.cc:\d+: /s, "") ?? String(error);
}
