/** What the vocabulary and the template tell about a model's turns: what ends one, and how thoughts are marked. */
import type { ChatFormat } from "./chat-types.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Markers around a thought, as models in use spell them. */
const THINKING_MARKERS = [
  ["<think>", "</think>"],
  ["[THINK]", "[/THINK]"],
  ["<|START_THINKING|>", "<|END_THINKING|>"],
  ["<seed:think>", "</seed:think>"],
  ["\u25c1think\u25b7", "\u25c1/think\u25b7"],
  ["<|begin_of_thought|>", "<|end_of_thought|>"],
] as const;

/** gpt-oss: every message names its channel, thoughts are those of "analysis". */
const CHANNEL_TOKENS = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>"] as const;
const CHANNEL_THINKING = { open: "<|channel|>analysis<|message|>", close: "<|end|>" };

/** Special tokens that end a turn wherever a vocabulary has them. */
const STOP_TOKENS = [
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|eot|>",
  "<|return|>",
  "<|call|>",
  "<end_of_turn>",
  "<|end_of_turn|>",
  "<|END_OF_TURN_TOKEN|>",
  "<|role_end|>",
  "<|end_of_text|>",
  "<|endoftext|>",
  "<\uff5cend\u2581of\u2581sentence\uff5c>",
  "[EOT]",
  "[e~[",
] as const;
/** Ends a turn, but only a message where messages have channels. */
const MESSAGE_END = "<|end|>";

/** @param endIds ids that the model's own files name as ends. */
export function chatFormat(
  tokenizer: Tokenizer,
  templates: ReadonlyMap<string, string>,
  endIds: readonly number[],
): ChatFormat {
  const specials = new Map(tokenizer.specials.map(({ id, content }) => [content, id]));
  const channels = CHANNEL_TOKENS.every((token) => specials.has(token));
  const named = [...STOP_TOKENS, ...(channels ? [] : [MESSAGE_END])].flatMap((token) => specials.get(token) ?? []);
  const messageEnd = channels ? specials.get(MESSAGE_END) : undefined;
  const stopIds = [...new Set([...endIds, ...named])].filter((id) => id !== messageEnd);
  const common = { hasTemplate: templates.size > 0, stopIds };
  if (channels) return { kind: "channels", thinking: CHANNEL_THINKING, ...common };
  const thinking = thinkingMarkers(tokenizer, templates);
  return thinking ? { kind: "tags", thinking, ...common } : { kind: "plain", ...common };
}

/** A pair counts where both are tokens, or where a template writes the one that closes a thought. */
function thinkingMarkers(
  tokenizer: Tokenizer,
  templates: ReadonlyMap<string, string>,
): { open: string; close: string } | undefined {
  const tokens = new Set([...tokenizer.specials, ...tokenizer.userDefined].map(({ content }) => content));
  const texts = [...templates.values()];
  const found = THINKING_MARKERS.find(
    ([open, close]) => (tokens.has(open) && tokens.has(close)) || texts.some((text) => text.includes(close)),
  );
  return found && { open: found[0], close: found[1] };
}
