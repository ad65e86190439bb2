/**
 * From a prompt to pieces of answers: takes a session, prefills what is new, draws, reads. One generator serves chats and
 * plain text, streamed or not; what the pieces look like to a caller is `chunks.ts`.
 */
import type { ResponseStats } from "../engine/types.ts";
import { UsageError } from "../errors.ts";
import type { Draw, DrawSession, Drawn, Signal } from "./drawing.ts";
import type { Wanted } from "./request.ts";
import type { SessionPool } from "./session-pool.ts";
import type { Delta, Turn } from "./turn.ts";

/** What is to be answered, in ids. */
export interface Prompt {
  readonly ids: readonly number[];
  /** Ids that end the model's turn. */
  readonly stopIds: readonly number[];
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
  /** Most tokens of prompt and answer together. */
  readonly contextLength: number;
}

/**
 * Gives the pieces of every choice, one choice after another, and ends with what they took. Leaving early, a signal that
 * fires or a failure gives the session back with a timeline that the next request can go on from.
 * @throws UsageError for a prompt that leaves no room; `AbortError` within one step.
 */
export async function* respond<S extends DrawSession>(
  { pool, draw, contextLength }: Respondent<S>,
  prompt: Prompt,
  wanted: Wanted,
  signal: Signal,
): AsyncGenerator<Piece, Usage, undefined> {
  const { ids } = prompt;
  checkLength(ids.length, contextLength);
  const { session, reused } = await pool.take(ids, wanted.reuse);
  try {
    session.beginResponse();
    await session.prefill(ids.slice(reused), signal());
    const counts = { completionTokens: 0, reasoningTokens: 0 };
    for (let index = 0; index < wanted.n; index++) {
      if (index > 0) session.rewind(ids.length);
      const settings = { ...wanted, seed: (wanted.seed + index) >>> 0 };
      yield* choice(draw(session, settings, prompt.stopIds, signal), prompt.turn(), index, wanted.maxTokens, session, counts);
    }
    return { promptTokens: ids.length, cachedTokens: reused, ...counts, stats: session.response ?? null };
  } finally {
    await pool.give(session);
  }
}

function checkLength(length: number, contextLength: number): void {
  if (length === 0) throw new UsageError("The prompt has no tokens; expected at least one.");
  if (length < contextLength) return;
  throw new UsageError(
    `The prompt has ${length} tokens and the context holds ${contextLength}, which leaves no room for an answer. ` +
      "Shorten it, or load the model with a longer contextLength.",
  );
}

async function* choice(
  drawn: AsyncGenerator<Drawn, void, undefined>,
  turn: Turn,
  index: number,
  maxTokens: number,
  session: Pick<DrawSession, "length" | "contextLength">,
  counts: { completionTokens: number; reasoningTokens: number },
): AsyncGenerator<Piece, void, undefined> {
  let tokens: PlacedToken[] = [];
  const take = (): PlacedToken[] => {
    const taken = tokens;
    tokens = [];
    return taken;
  };
  let count = 0;
  try {
    for await (const token of drawn) {
      count += 1;
      tokens.push({ ...token, offset: turn.rawLength });
      for (const delta of turn.push(token.id)) yield { index, delta, tokens: take() };
      if (turn.ended) break;
    }
  } finally {
    counts.completionTokens += count;
    counts.reasoningTokens += turn.reasoningTokens;
  }
  for (const delta of turn.end()) yield { index, delta, tokens: take() };
  const full = !turn.ended && (count >= maxTokens || session.length >= session.contextLength);
  const finish = turn.calls > 0 ? "tool_calls" : full ? "length" : "stop";
  yield { index, tokens: take(), finish };
}
