/**
 * A conversation as a tree: editing a message or asking for another answer makes a branch beside what was there, and
 * every message remembers which of its replies is being read. Plain data and pure functions; a change gives a new tree.
 */

export interface ToolCall {
  readonly name: string;
  /** JSON, as far as the model wrote it right. */
  readonly arguments: string;
}

/** What an answer took. Times in milliseconds. */
export interface Figures {
  readonly tokens: number;
  readonly promptTokens: number;
  /** Of the prompt, tokens that did not have to be computed again. */
  readonly cachedTokens: number;
  readonly tokensPerSecond: number;
  readonly firstTokenMs: number;
  /** `null` where nothing was drawn at random. */
  readonly seed: number | null;
}

/**
 * How an answer stands. "stop": the model ended it; "length": the token limit did; "full": the context did, perhaps before the
 * first token; "stopped": the reader did; "broken": the page was closed or an error came while it was written.
 */
export type AnswerState = "writing" | "stop" | "length" | "full" | "tools" | "stopped" | "broken";

/** Where what a model was shown of a conversation began: at a character of a message; everything before was left out. */
export interface View {
  readonly from: string;
  /** UTF-16 units into that message's content; other than 0 only in stories. */
  readonly at: number;
}

interface Node {
  readonly id: string;
  /** The message that this one replies to; `null` for the first. */
  readonly parent: string | null;
  readonly content: string;
}

export interface UserMessage extends Node {
  readonly role: "user";
}

export interface Answer extends Node {
  readonly role: "assistant";
  readonly state: AnswerState;
  /** What to call the model that wrote it. */
  readonly model: string;
  /** It continues the reader's text: a story, not a reply, and not Markdown. */
  readonly prose: boolean;
  readonly reasoning: string;
  /** How long the thought took, `null` while it is being thought or where there is none. */
  readonly thoughtMs: number | null;
  readonly calls: readonly ToolCall[];
  readonly figures: Figures | null;
  /** Why it is "broken" or "full", for the reader. */
  readonly trouble: string;
  /** What it was written from, where the conversation did not fit the context; `null`: from all of it. */
  readonly view: View | null;
}

export type Message = UserMessage | Answer;

export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** The reader gave the title; it no longer follows the first words. */
  readonly renamed: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly messages: readonly Message[];
  /** By the id of a message, or "" for the beginning: which of its replies is being read. */
  readonly read: Readonly<Record<string, string>>;
}

export const UNTITLED = "New conversation";
const TITLE_WORDS = 7;
const TITLE_LENGTH = 60;

export function newConversation(id: string, now: number): Conversation {
  return { id, title: UNTITLED, renamed: false, createdAt: now, updatedAt: now, messages: [], read: {} };
}

/** The messages being read, from the first on. */
export function pathOf(conversation: Conversation): Message[] {
  const path: Message[] = [];
  for (let at = conversation.read[""]; at !== undefined; at = conversation.read[at]) {
    const message = messageOf(conversation, at);
    if (!message || path.includes(message)) break;
    path.push(message);
  }
  return path;
}

/** The messages before `id` and itself, from the first on. */
export function pathTo(conversation: Conversation, id: string): Message[] {
  const path: Message[] = [];
  for (let at: string | null = id; at !== null; ) {
    const message: Message | undefined = messageOf(conversation, at);
    if (!message || path.includes(message)) break;
    path.unshift(message);
    at = message.parent;
  }
  return path;
}

export function messageOf(conversation: Conversation, id: string): Message | undefined {
  return conversation.messages.find((message) => message.id === id);
}

/** The replies to the same message, oldest first; `id` is one of them. */
export function branchesOf(conversation: Conversation, id: string): Message[] {
  const own = messageOf(conversation, id);
  return own ? conversation.messages.filter((message) => message.parent === own.parent) : [];
}

/** Adds `message` behind its parent, and reads on there. The first of all names the conversation. */
export function withMessage(conversation: Conversation, message: Message, now: number): Conversation {
  const read = { ...conversation.read, [message.parent ?? ""]: message.id };
  const added = { ...conversation, messages: [...conversation.messages, message], read, updatedAt: now };
  if (conversation.renamed || message.role !== "user" || conversation.messages.length > 0) return added;
  return { ...added, title: titleOf(message.content) };
}

/** Changes an answer. Of one that is gone nothing is changed. */
export function withAnswer(conversation: Conversation, id: string, change: Partial<Answer>): Conversation {
  const messages = conversation.messages.map((message) =>
    message.id === id && message.role === "assistant" ? { ...message, ...change } : message,
  );
  return { ...conversation, messages };
}

/** Reads the branch `steps` further among those of `id`; the ends are ends. */
export function withBranch(conversation: Conversation, id: string, steps: number): Conversation {
  const branches = branchesOf(conversation, id);
  const at = branches.findIndex((message) => message.id === id);
  const chosen = branches[at + steps];
  if (at < 0 || !chosen) return conversation;
  return { ...conversation, read: { ...conversation.read, [chosen.parent ?? ""]: chosen.id } };
}

export function withTitle(conversation: Conversation, title: string): Conversation {
  const kept = title.replace(/\s+/g, " ").trim().slice(0, TITLE_LENGTH);
  return kept === "" ? conversation : { ...conversation, title: kept, renamed: true };
}

/** What no page writes any more of those answers: what there is of them stays, and says that it broke off. */
export function brokenOff(conversation: Conversation, ids: readonly string[]): Conversation {
  const messages = conversation.messages.map((message) =>
    ids.includes(message.id) && isWriting(message)
      ? { ...message, state: "broken" as const, trouble: "The page was closed while this was written." }
      : message,
  );
  return { ...conversation, messages };
}

/** Ids of the answers that are being written, or were when their page was closed. */
export function writingIn(conversation: Conversation): string[] {
  return conversation.messages.filter(isWriting).map(({ id }) => id);
}

function isWriting(message: Message): message is Answer {
  return message.role === "assistant" && message.state === "writing";
}

/** The first words of a text. */
export function titleOf(text: string): string {
  const words = text.trim().split(/\s+/);
  const title = words.slice(0, TITLE_WORDS).join(" ").slice(0, TITLE_LENGTH);
  return title === "" ? UNTITLED : title + (words.length > TITLE_WORDS ? "…" : "");
}
