/**
 * From a prompt to pieces of answers: takes a session, prefills what is new, draws, reads. One generator serves chats and
 * plain text, streamed or not; what the pieces look like to a caller is `chunks.ts`.
 */
import type { ResponseStats } from "../engine/types.ts";
import { UsageError } from "../errors.ts";
import type { Constraint, Drawn, FinishReason, GenerateSettings, ThinkingSettings } from "../generate/settings.ts";
import type { Draw, DrawSession, Signal } from "./drawing.ts";
import type { Wanted } from "./request.ts";
import type { SessionPool } from "./session-pool.ts";
import type { Delta, Turn } from "./turn.ts";

/** What is to be answered, in ids. */
export interface Prompt {
  readonly ids: readonly number[];
  readonly constraint: Constraint | undefined;
  /** What a call must be that the model begins by itself. */
  readonly strictCall?: Constraint | undefined;
  readonly thinking?: ThinkingSettings | undefined;
  /** A reader for one answer. */
  turn(): Turn;
}

/** A token as it was drawn, and where its text begins in that of its choice, in UTF-16 units. */
export type PlacedToken = Drawn & { readonly offset: number };

export interface Piece {
  readonly index: number;
  readonly delta?: Delta;
  /** Tokens drawn since the last piece. */
  readonly tokens: readonly PlacedToken[];
  readonly finish?: "stop" | "length" | "tool_calls";
}

export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  readonly stats: ResponseStats | null;
}

export interface Respondent<S extends DrawSession> {
  readonly pool: SessionPool<S>;
  readonly draw: Draw<S>;
  /** Ids that end a turn. */
  readonly stopIds: readonly number[];
  /** Most tokens of prompt and answer together. */
  readonly contextLength: number;
}

/**
 * Gives the pieces of every choice, one choice after another, and ends with what they took. Leaving early, a signal that
 * fires or a failure gives the session back with a timeline that the next request can go on from.
 * @throws UsageError for a prompt that leaves no room; `AbortError` within one step.
 */
export async function* respond<S extends DrawSession>(
  { pool, draw, stopIds, contextLength }: Respondent<S>,
  prompt: Prompt,
  wanted: Wanted,
  signal: Signal,
): AsyncGenerator<Piece, Usage, undefined> {
  const { ids } = prompt;
  checkLength(ids.length, contextLength);
  const { session, reused: cachedTokens } = await pool.take(ids, wanted.reuse, signal());
  try {
    const counts = { completionTokens: 0, reasoningTokens: 0 };
    const stats: ResponseStats[] = [];
    for (let index = 0; index < wanted.n; index++) {
      const reused = index === 0 ? cachedTokens : await pool.back(session, ids.length, signal());
      session.beginResponse();
      await session.prefill(ids.slice(reused), signal());
      const settings = settingsOf(wanted, prompt, index);
      yield* choice((more) => draw(session, { ...settings, ...more }, stopIds, signal), prompt, index, wanted, counts);
      if (session.response) stats.push(session.response);
    }
    return { promptTokens: ids.length, cachedTokens, ...counts, stats: sumOf(stats) };
  } finally {
    await pool.give(session, signal());
  }
}

/** What all choices took together; the first token is the first one's. */
function sumOf([first, ...others]: readonly ResponseStats[]): ResponseStats | null {
  if (!first) return null;
  const names = Object.keys(first) as (keyof ResponseStats)[];
  const sums = names.map((name) => [name, others.reduce((sum, stats) => sum + stats[name], first[name])]);
  return { ...Object.fromEntries(sums), timeToFirstTokenMs: first.timeToFirstTokenMs };
}

function settingsOf(wanted: Wanted, { thinking, constraint }: Prompt, index: number): GenerateSettings {
  const { stop, n, includeUsage, reuse, model, ...settings } = wanted;
  return { ...settings, thinking, constraint, seed: (wanted.seed + index) >>> 0 };
}

function checkLength(length: number, contextLength: number): void {
  if (length === 0) throw new UsageError("The prompt has no tokens; expected at least one.");
  if (length < contextLength) return;
  throw new UsageError(
    `The prompt has ${length} tokens and the context holds ${contextLength}, which leaves no room for an answer. ` +
      "Shorten it, or load the model with a longer contextLength.",
    { code: "context-full", details: { contextLength } },
  );
}

async function* choice(
  draw: (settings: GenerateSettings) => AsyncGenerator<Drawn, FinishReason, undefined>,
  prompt: Prompt,
  index: number,
  { maxTokens }: Wanted,
  counts: { completionTokens: number; reasoningTokens: number },
): AsyncGenerator<Piece, void, undefined> {
  const turn = prompt.turn();
  let tokens: PlacedToken[] = [];
  const piece = (delta: Delta): Piece => {
    const taken = tokens;
    tokens = [];
    return { index, delta, tokens: taken };
  };
  let drawn = draw({});
  let held = prompt.strictCall === undefined;
  let reason: FinishReason = "stop";
  try {
    for (let count = 1; ; count++) {
      const { done, value } = await drawn.next();
      if (done) {
        reason = value;
        break;
      }
      counts.completionTokens += 1;
      tokens.push({ ...value, offset: turn.rawLength });
      for (const delta of turn.push(value.id)) yield piece(delta);
      if (turn.ended) break;
      if (held || !turn.callBegun) continue;
      // The model has begun a call: from here on it is held to the schema, and the turn ends with it.
      held = true;
      await drawn.return(reason);
      drawn = draw({ constraint: prompt.strictCall, thinking: undefined, maxTokens: maxTokens - count });
    }
  } finally {
    counts.reasoningTokens += turn.reasoningTokens;
    await drawn.return(reason);
  }
  for (const delta of turn.end()) yield piece(delta);
  yield { index, tokens, finish: turn.calls > 0 ? "tool_calls" : reason };
}
