/**
 * Conversations as a JSON file. What is read is a stranger's: every field is checked, links that lead nowhere are cut,
 * and what does not fit is an error that says where.
 */
import type { Answer, AnswerState, Conversation, Figures, Message, ToolCall, View } from "./conversation.ts";

const FORMAT = "octavo-conversations";
const VERSION = 1;
const STATES: readonly AnswerState[] = ["writing", "stop", "length", "full", "tools", "stopped", "broken"];

type Fields = Readonly<Record<string, unknown>>;

export function writeConversations(conversations: readonly Conversation[]): string {
  return JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1);
}

/** @throws Error saying what was expected and what came. */
export function readConversations(json: string): Conversation[] {
  const file = fieldsOf(parse(json), "the file");
  if (file.format !== FORMAT)
    throw new Error(`Expected a file of conversations from Octavo, got another kind of JSON.`);
  if (file.version !== VERSION) {
    throw new Error(`Expected version ${VERSION} of the conversations' format, got ${String(file.version)}.`);
  }
  return listOf(file.conversations, "conversations").map((item, i) => conversationOf(item, `conversations[${i}]`));
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Error(`Expected JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A record of a conversation, from a file or from storage. */
export function conversationOf(value: unknown, where: string): Conversation {
  const fields = fieldsOf(value, where);
  const messages = listOf(fields.messages, `${where}.messages`).map((m, i) => messageOf(m, `${where}.messages[${i}]`));
  const ids = new Set(messages.map(({ id }) => id));
  const read = Object.entries(fieldsOf(fields.read ?? {}, `${where}.read`)).filter(
    (link): link is [string, string] => typeof link[1] === "string" && ids.has(link[1]),
  );
  return {
    id: textOf(fields.id, `${where}.id`),
    title: textOf(fields.title, `${where}.title`),
    renamed: fields.renamed === true,
    createdAt: numberOf(fields.createdAt),
    updatedAt: numberOf(fields.updatedAt),
    messages,
    read: Object.fromEntries(read),
  };
}

function messageOf(value: unknown, where: string): Message {
  const fields = fieldsOf(value, where);
  const id = textOf(fields.id, `${where}.id`);
  const parent = fields.parent === null ? null : textOf(fields.parent, `${where}.parent`);
  const content = textOf(fields.content, `${where}.content`);
  if (fields.role === "user") return { id, parent, role: "user", content };
  if (fields.role === "assistant") return { id, parent, content, ...answerOf(fields, where) };
  throw new Error(`${where}.role: expected "user" or "assistant", got ${JSON.stringify(fields.role)}.`);
}

function answerOf(fields: Fields, where: string): Omit<Answer, "id" | "parent" | "content"> {
  const state = STATES.find((known) => known === fields.state);
  if (!state) throw new Error(`${where}.state: expected one of ${STATES.join(", ")}.`);
  return {
    role: "assistant",
    state,
    model: textOf(fields.model, `${where}.model`),
    prose: fields.prose === true,
    reasoning: typeof fields.reasoning === "string" ? fields.reasoning : "",
    thoughtMs: typeof fields.thoughtMs === "number" ? fields.thoughtMs : null,
    calls: Array.isArray(fields.calls) ? fields.calls.map((call, i) => callOf(call, `${where}.calls[${i}]`)) : [],
    figures: typeof fields.figures === "object" && fields.figures !== null ? figuresOf({ ...fields.figures }) : null,
    trouble: typeof fields.trouble === "string" ? fields.trouble : "",
    view: typeof fields.view === "object" && fields.view !== null ? viewOf({ ...fields.view }, `${where}.view`) : null,
  };
}

function viewOf(fields: Fields, where: string): View {
  return { from: textOf(fields.from, `${where}.from`), at: Math.max(0, numberOf(fields.at)) };
}

function callOf(value: unknown, where: string): ToolCall {
  const fields = fieldsOf(value, where);
  return { name: textOf(fields.name, `${where}.name`), arguments: textOf(fields.arguments, `${where}.arguments`) };
}

function figuresOf(fields: Fields): Figures {
  return {
    tokens: numberOf(fields.tokens),
    promptTokens: numberOf(fields.promptTokens),
    cachedTokens: numberOf(fields.cachedTokens),
    tokensPerSecond: numberOf(fields.tokensPerSecond),
    firstTokenMs: numberOf(fields.firstTokenMs),
    seed: typeof fields.seed === "number" ? fields.seed : null,
  };
}

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new Error(`${where}: expected an object, got ${JSON.stringify(value) ?? "nothing"}.`);
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Error(`${where}: expected a list, got ${JSON.stringify(value) ?? "nothing"}.`);
}

function textOf(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  throw new Error(`${where}: expected a text, got ${JSON.stringify(value) ?? "nothing"}.`);
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
