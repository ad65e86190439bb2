/** What a chat asks of a generation and gets from it. */
import type { Session } from "../engine/session.ts";
import { UnsupportedError } from "../errors.ts";
import { generate } from "../generate/generate.ts";

/** What the text must be. */
export type Constraint =
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly schema: Readonly<Record<string, unknown>> | boolean }
  | { readonly type: "regex"; readonly pattern: string }
  | { readonly type: "ebnf"; readonly grammar: string };

export interface IdLogprob {
  readonly id: number;
  readonly logprob: number;
}

export interface Drawn {
  readonly id: number;
  readonly logprob?: number;
  readonly top?: readonly IdLogprob[];
}

export interface DrawSettings {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly seed: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly repetitionPenalty: number;
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  readonly topLogprobs?: number | undefined;
  readonly constraint?: Constraint | undefined;
}

/** What draws: `Session` of the engine, as far as a chat needs it. */
export type DrawSession = Pick<Session, "length" | "contextLength" | "tokens" | "response" | "prefill" | "rewind" | "kept" | "beginResponse">;

export type Signal = () => AbortSignal | undefined;

/** Continues a session; ids that end a text are not given. */
export type Draw<S> = (
  session: S,
  settings: DrawSettings,
  stopIds: readonly number[],
  signal: Signal,
) => AsyncGenerator<Drawn, void, undefined>;

export const drawFromEngine: Draw<Session> = async function* (session, settings, stopIds, signal) {
  const { maxTokens, temperature, topP, topK, seed } = settings;
  const missing = unsupported(settings);
  if (missing) throw new UnsupportedError(`${missing}: not done yet.`);
  for await (const id of generate(session, { maxTokens, temperature, topP, topK, seed }, stopIds, signal)) yield { id };
};

function unsupported(settings: DrawSettings): string | undefined {
  if (settings.minP !== 0) return "min_p";
  if (settings.presencePenalty !== 0) return "presence_penalty";
  if (settings.frequencyPenalty !== 0) return "frequency_penalty";
  if (settings.repetitionPenalty !== 1) return "repetition_penalty";
  if (settings.logitBias) return "logit_bias";
  if (settings.topLogprobs !== undefined) return "logprobs";
  return settings.constraint && "response_format";
}
