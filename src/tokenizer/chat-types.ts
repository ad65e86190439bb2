/** What chat takes and gives, as plain data: it crosses the worker border. */

/** One turn. Templates read `role` and `content`; tool calls, names and the like are handed to them as they are. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | null | readonly Readonly<Record<string, unknown>>[];
  readonly [field: string]: unknown;
}

/** What a chat template is given beside the messages. */
export interface ChatOptions {
  /** Descriptions of functions, as the model's template expects them (JSON schema). */
  readonly tools?: readonly Readonly<Record<string, unknown>>[] | undefined;
  /** End with the beginning of the model's own turn. Default true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** A Jinja template in place of the model's own. */
  readonly template?: string | undefined;
  /** One of the model's named templates. Default: "tool_use" with tools where there is one, else "default". */
  readonly templateName?: string | undefined;
  /** Further variables of the template: `enable_thinking`, `reasoning_effort`, `documents`, … */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** A conversation, ready to be prefilled. */
export interface ChatPrompt {
  /** The rendered conversation. */
  readonly text: string;
  /** Its ids; only the template's own markers are special tokens. */
  readonly ids: number[];
  /** The model's turn begins inside a thought: the prompt ends with the marker that opens one. */
  readonly thinking: boolean;
}

/** How the model sets its thoughts apart from its answer. */
export interface ChatFormat {
  /**
   * "tags": thoughts stand between two markers. "channels": every message names its channel (gpt-oss). "plain": the
   * model marks no thoughts.
   */
  readonly kind: "plain" | "tags" | "channels";
  /** Spellings of the markers; of the first and last one around a thought for "channels". */
  readonly thinking?: { readonly open: string; readonly close: string };
  /** Whether the model came with a chat template. Without one it continues text, and a template must be given. */
  readonly hasTemplate: boolean;
  /** Ids that end the model's turn. */
  readonly stopIds: readonly number[];
}
