/** Thoughts of a request: what the template is told of them, and what bounds them or leads from them to the answer. */
import { UsageError } from "../errors.ts";
import type { ThinkingSettings } from "../generate/settings.ts";
import type { ChatFormat } from "../tokenizer/chat-types.ts";
import type { ChatCompletionCreateParamsBase, ReasoningEffort } from "./openai-types.ts";

export interface WantedThinking {
  /** For the template: `enable_thinking`, `thinking`, `reasoning_effort`, as far as the request says anything. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** Most tokens of a thought; `undefined`: no bound. */
  readonly budget: number | undefined;
}

/** Most tokens of a thought by effort, for templates that do not know efforts. */
const EFFORT_TOKENS: Readonly<Partial<Record<ReasoningEffort, number>>> = { minimal: 256, low: 1024, medium: 4096 };
/** gpt-oss knows three. */
const CHANNEL_EFFORTS: Readonly<Partial<Record<ReasoningEffort, string>>> = {
  minimal: "low",
  xhigh: "high",
  max: "high",
};

/** @throws UsageError for wishes that contradict each other. */
export function wantedThinking(
  params: ChatCompletionCreateParamsBase,
  { kind }: Pick<ChatFormat, "kind">,
  template: string,
): WantedThinking {
  const { thinking, thinking_budget, reasoning_effort } = params;
  const named = thinking?.budget_tokens ?? undefined;
  const alone = thinking_budget ?? undefined;
  if (named !== undefined && alone !== undefined && named !== alone) {
    throw new UsageError(
      `thinking.budget_tokens is ${named} and thinking_budget is ${alone}; they mean the same, give one.`,
    );
  }
  const given = named ?? alone;
  const off = thinking?.type === "disabled" || reasoning_effort === "none" || given === 0;
  if (off && (thinking?.type === "enabled" || (given ?? 0) > 0)) {
    throw new UsageError("One field switches thoughts off, and another asks for them; give one.");
  }
  const effort = off ? undefined : (reasoning_effort ?? undefined);
  const said = off || thinking?.type === "enabled" || given !== undefined || effort !== undefined;
  const knowsEffort = template.includes("reasoning_effort");
  const byEffort = effort && !knowsEffort ? EFFORT_TOKENS[effort] : undefined;
  return {
    variables: {
      ...(said ? { enable_thinking: !off, thinking: !off } : {}),
      ...(effort ? { reasoning_effort: (kind === "channels" && CHANNEL_EFFORTS[effort]) || effort } : {}),
    },
    budget: off ? 0 : (given ?? byEffort),
  };
}

/**
 * What the generation must know of thoughts: nothing, unless they have a bound or something holds the answer.
 * @param encode ids of a text in which special tokens count.
 * @param lead what the answer begins with where it is held to something.
 */
export function thinkingSettings(
  { kind, thinking }: Pick<ChatFormat, "kind" | "thinking">,
  encode: (text: string) => readonly number[],
  { inside, budget, held, lead = "" }: { inside: boolean; budget: number | undefined; held: boolean; lead?: string },
): ThinkingSettings | undefined {
  if (!thinking || (budget === undefined && !held)) return undefined;
  const [open, close] = [encode(thinking.open), encode(thinking.close)];
  if (kind === "channels") {
    const answer = encode(lead === "" ? "<|channel|>final<|message|>" : lead);
    return { open, close, inside, budget, answer, forced: [...close, ...encode("<|start|>assistant"), ...answer] };
  }
  const answer = encode(lead);
  // Piece by piece: the marker must be among the ids as it is by itself.
  return { open, close, inside, budget, answer, forced: [...encode("\n"), ...close, ...encode("\n\n"), ...answer] };
}
