/** Messages as OpenAI's client writes them, made what chat templates read. */
import { UnsupportedError, UsageError } from "../errors.ts";
import type { ChatMessage } from "../tokenizer/chat-types.ts";
import { show } from "../util/show.ts";
import { isRecord } from "./fields.ts";

const ROLES = ["system", "developer", "user", "assistant", "tool"];

export interface MessageNeeds {
  /** The template, which tells what roles and fields it knows. */
  readonly template: string;
}

/**
 * Contents become texts, arguments of calls become objects, `developer` becomes `system` where the template does not know it.
 * @throws UsageError for messages that are none; UnsupportedError for pictures and sound.
 */
export function templateMessages(messages: readonly unknown[], { template }: MessageNeeds): ChatMessage[] {
  if (messages.length === 0) throw new UsageError("messages is empty; expected at least one.");
  const knowsDeveloper = template.includes("developer");
  return messages.map((message, index) => {
    const where = `messages[${index}]`;
    if (!isRecord(message)) throw new UsageError(`${where} is ${show(message)}; expected an object with a role.`);
    const { role, content, tool_calls, reasoning_content, ...rest } = message;
    if (typeof role !== "string" || !ROLES.includes(role)) {
      throw new UsageError(`${where}.role is ${show(role)}; expected one of ${ROLES.join(", ")}.`);
    }
    const calls = callsOf(tool_calls, where);
    const thought = typeof reasoning_content === "string" ? reasoning_content : undefined;
    return {
      ...given(rest),
      role: role === "developer" && !knowsDeveloper ? "system" : role,
      content: contentOf(content, where, role === "assistant"),
      ...(calls ? { tool_calls: calls } : {}),
      // gpt-oss reads the thought before a call under a name of its own.
      ...(thought === undefined ? {} : { reasoning_content: thought, ...(calls ? { thinking: thought } : {}) }),
    };
  });
}

/** Fields without a value are none to a template that asks whether they are defined. */
function given(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

function contentOf(content: unknown, where: string, mayLack: boolean): string {
  if (typeof content === "string") return content;
  if ((content === undefined || content === null) && mayLack) return "";
  if (!Array.isArray(content)) {
    throw new UsageError(`${where}.content is ${show(content)}; expected a text, or parts of type "text".`);
  }
  const texts = content.map((part: unknown) => {
    if (!isRecord(part)) throw new UsageError(`${where}.content holds ${show(part)}; expected parts of type "text".`);
    if (typeof part.text === "string") return part.text;
    if (typeof part.refusal === "string") return part.refusal;
    throw new UnsupportedError(
      `${where}.content has a part of type ${show(part.type)}; Octavo's models read text only.`,
    );
  });
  return texts.join("\n");
}

/** Templates write the arguments of a call themselves, so they want the object that the text of JSON means. */
function callsOf(calls: unknown, where: string): unknown[] | undefined {
  if (calls === undefined || calls === null) return undefined;
  if (!Array.isArray(calls)) throw new UsageError(`${where}.tool_calls is ${show(calls)}; expected an array.`);
  if (calls.length === 0) return undefined;
  return calls.map((call: unknown, index) => {
    const callee = isRecord(call) ? call.function : undefined;
    if (!isRecord(call) || !isRecord(callee) || typeof callee.name !== "string") {
      throw new UsageError(
        `${where}.tool_calls[${index}] is ${show(call)}; expected { id, type, function: { name, arguments } }.`,
      );
    }
    return { ...call, function: { ...callee, arguments: parsed(callee.arguments) } };
  });
}

function parsed(json: unknown): unknown {
  if (typeof json !== "string") return json ?? {};
  try {
    return JSON.parse(json === "" ? "{}" : json) as unknown;
  } catch {
    return json; // a call that the model wrote wrong goes back as it was
  }
}
