/** What a text can be held to, and what holds it: plain data and one small interface. */

/** What the text must be. Special tokens are no part of it. */
export type Constraint =
  /** Any JSON object. */
  | { readonly type: "json_object" }
  /** JSON that holds to a JSON schema, given as the parsed schema; `compact`: on one line, for programs alone to read. */
  | {
      readonly type: "json_schema";
      readonly schema: Readonly<Record<string, unknown>> | boolean;
      readonly compact?: boolean;
    }
  /** Text that the whole of an ECMAScript pattern (flags `u` and `s`) matches; look-around and back-references excepted. */
  | { readonly type: "regex"; readonly pattern: string }
  /** Text of a grammar: rules `name ::= …` with quotes, `[classes]`, `|`, `*`, `+`, `?`; `root` is the whole. */
  | { readonly type: "ebnf"; readonly grammar: string };

/** What may come next. */
export interface Allowed {
  /** A bit for each id, id % 32 of word id / 32: 1 where the text may go on with it. Never a special token. */
  readonly mask: Int32Array;
  /** The text may end here. */
  readonly mayEnd: boolean;
  /** Nothing may follow. */
  readonly mustEnd: boolean;
}

/** A constraint that a text is being held to. */
export interface Held {
  /** @throws UsageError when an accepted id was not allowed. */
  allowed(): Promise<Allowed>;
  /** The text goes on with `id`. */
  accept(id: number): void;
  dispose(): void;
}

/** Starts to hold a text to something. @throws UsageError for what is malformed or cannot be held to. */
export type Hold = (constraint: Constraint, signal?: AbortSignal) => Promise<Held>;

/** What ids spell: the bytes of id `i` end at `ends[i]` and begin where those of the id before end. None: never allowed. */
export interface TokenBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
}
