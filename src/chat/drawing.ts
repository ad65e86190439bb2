/** What draws: the engine's sessions and the generation over them, as far as a chat needs these. */
import type { Session } from "../engine/session.ts";
import type { Drawn, FinishReason, GenerateSettings } from "../generate/settings.ts";

export type DrawSession = Pick<
  Session,
  "length" | "contextLength" | "tokens" | "response" | "prefill" | "rewind" | "kept" | "beginResponse"
>;

/** Asked before every step, so that each can be aborted on its own. */
export type Signal = () => AbortSignal | undefined;

/** Continues a session; an id that ends the text is not given. */
export type Draw<S> = (
  session: S,
  settings: GenerateSettings,
  stopIds: readonly number[],
  signal: Signal,
) => AsyncGenerator<Drawn, FinishReason, undefined>;
