/** The tools of a request: how the model will write calls of them, and what holds such calls to their schemas. */
import { UnsupportedError, UsageError } from "../errors.ts";
import type { Constraint } from "../generate/settings.ts";
import type { ChatFormat } from "../tokenizer/chat-types.ts";
import { type CallFormat, callFormat } from "./call-formats.ts";
import { createCallReader } from "./call-reader.ts";
import { boolean, fields, isRecord, oneOf, record, text } from "./fields.ts";
import type { ChatCompletionCreateParamsBase, ChatTool } from "./openai-types.ts";
import type { CallReader } from "./turn.ts";

/** Which tools may be called, and whether one must be. */
export interface WantedTools {
  readonly tools: readonly ChatTool[];
  /** "auto": the model chooses; "required": a call of any; otherwise the name of the one to call. */
  readonly choice: "auto" | "required" | { readonly name: string };
  readonly parallel: boolean;
}

const TOOL = fields(
  {
    type: oneOf("function"),
    function: fields({ name: text, description: text, parameters: record, strict: boolean }, ["name"]),
  },
  ["type", "function"],
);
const NAMED_CHOICE = fields({ type: oneOf("function"), function: fields({ name: text }, ["name"]) }, ["function"]);

/** `undefined` when no tool may be called. @throws UsageError for tools or a choice that are none. */
export function wantedTools(params: ChatCompletionCreateParamsBase): WantedTools | undefined {
  const { tools = [], tool_choice = "auto", parallel_tool_calls = true } = params;
  for (const [index, tool] of tools.entries()) {
    const expected = TOOL(tool);
    if (expected !== undefined)
      throw new UsageError(`tools[${index}] is ${JSON.stringify(tool)}; expected ${expected}.`);
  }
  const modes = ["none", "auto", "required"];
  const mode = typeof tool_choice === "string" ? modes.includes(tool_choice) : NAMED_CHOICE(tool_choice) === undefined;
  if (!mode) {
    throw new UsageError(
      `tool_choice is ${JSON.stringify(tool_choice)}; expected ${modes.join(", ")} or { type: "function", function: { name } }.`,
    );
  }
  if (tool_choice === "none") return undefined;
  const choice = typeof tool_choice === "string" ? tool_choice : tool_choice.function;
  const names = tools.map((tool) => tool.function.name);
  if (choice === "auto") return names.length === 0 ? undefined : { tools, choice, parallel: parallel_tool_calls };
  if (names.length === 0) throw new UsageError("tool_choice asks for a call, and there are no tools to call.");
  if (choice !== "required" && !names.includes(choice.name)) {
    throw new UsageError(`tool_choice names "${choice.name}"; the tools are ${names.join(", ")}.`);
  }
  return { tools, choice, parallel: parallel_tool_calls };
}

export interface ToolUse {
  reader(): CallReader;
  /** A call must come: what leads to it, and what it must be. */
  readonly forced?: { readonly lead: string; readonly constraint: Constraint };
  /** What a call must be that the model begins by itself; there when a tool is strict. */
  readonly strict?: Constraint;
  readonly oneCall: boolean;
}

/** @throws UnsupportedError for a template that does not speak of tools. */
export function toolUse(
  { tools, choice, parallel }: WantedTools,
  template: string,
  specials: readonly string[],
  { kind }: Pick<ChatFormat, "kind">,
): ToolUse {
  if (!/\btools\b/.test(template)) {
    throw new UnsupportedError(
      "This chat template does not know tools. Leave them out, or give a template that writes them as chat_template.",
    );
  }
  const schemas = new Map(tools.map((tool) => [tool.function.name, tool.function.parameters]));
  const format = callFormat(template, specials);
  const reader = (): CallReader => createCallReader(format, schemas);
  const oneCall = !parallel;
  if (choice === "auto") {
    const strict = kind !== "channels" && tools.some((tool) => tool.function.strict === true);
    return { reader, oneCall, ...(strict ? { strict: callConstraint(tools, format) } : {}) };
  }
  const wanted = choice === "required" ? tools : tools.filter((tool) => tool.function.name === choice.name);
  const forced =
    kind === "channels"
      ? channelCall(wanted, specials)
      : { lead: format.forced, constraint: callConstraint(wanted, format) };
  return { reader, oneCall, forced };
}

/** gpt-oss names the function in the header of the message, so with several to choose from the message names it. */
function channelCall(tools: readonly ChatTool[], specials: readonly string[]): ToolUse["forced"] & object {
  const [first, ...others] = tools;
  const alone = first && others.length === 0 ? first : undefined;
  const to = alone ? `functions.${alone.function.name}` : "functions";
  const type = specials.includes("<|constrain|>") ? " <|constrain|>json" : "";
  const constraint = alone
    ? ({ type: "json_schema", schema: argumentSchema(alone), compact: true } as const)
    : callConstraint(tools, {});
  return { lead: `<|channel|>commentary to=${to}${type}<|message|>`, constraint };
}

/** JSON of a call of one of `tools`, its arguments after the tool's schema. */
function callConstraint(tools: readonly ChatTool[], format: Pick<CallFormat, "listed" | "key">): Constraint {
  const { listed = false, key = "arguments" } = format;
  const definitions: Record<string, unknown> = {};
  const calls = tools.map((tool, index) => {
    const schema = hoisted(argumentSchema(tool), `tool${index}_`, definitions);
    return {
      type: "object",
      properties: { name: { const: tool.function.name }, [key]: schema },
      required: ["name", key],
      additionalProperties: false,
    };
  });
  const call = calls.length === 1 ? { ...calls[0] } : { anyOf: calls };
  const whole = listed ? { type: "array", items: call, minItems: 1, maxItems: 1 } : call;
  return {
    type: "json_schema",
    compact: true,
    schema: Object.keys(definitions).length > 0 ? { ...whole, $defs: definitions } : whole,
  };
}

function argumentSchema({ function: { parameters } }: ChatTool): Record<string, unknown> {
  return parameters ?? { type: "object" };
}

/** `schema` as a part of a larger one: its definitions move to the root, under names of their own, and so do its references. */
function hoisted(
  schema: Record<string, unknown>,
  prefix: string,
  definitions: Record<string, unknown>,
): Record<string, unknown> {
  const pointer = /^#\/(?:\$defs|definitions)\//;
  const moved = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(moved);
    if (!isRecord(value)) return value;
    const entries = Object.entries(value).map(([key, item]) =>
      key === "$ref" && typeof item === "string"
        ? [key, item.replace(pointer, `#/$defs/${prefix}`)]
        : [key, moved(item)],
    );
    return Object.fromEntries(entries);
  };
  const { $defs = {}, definitions: older = {}, ...rest } = schema;
  for (const [name, definition] of Object.entries({
    ...(isRecord(older) ? older : {}),
    ...(isRecord($defs) ? $defs : {}),
  })) {
    definitions[prefix + name] = moved(definition);
  }
  return moved(rest) as Record<string, unknown>;
}
