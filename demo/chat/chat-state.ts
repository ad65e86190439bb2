/**
 * The chat without its view: conversations, which of them is read, and what the reader does with them. Every change is
 * stored, an answer several times a second while it grows, so that a reload loses next to nothing.
 */
import type { AppState } from "../app-state.ts";
import { Store } from "../store.ts";
import { AnswerWriter } from "./answer-writer.ts";
import { ContextMeter } from "./context-meter.ts";
import {
  type Answer,
  brokenOff,
  type Conversation,
  messageOf,
  newConversation,
  withBranch,
  withMessage,
  withTitle,
  writingIn,
} from "./conversation.ts";
import { readConversations, writeConversations } from "./conversation-file.ts";
import type { History } from "./history.ts";
import { KeptConversations } from "./kept-conversations.ts";
import { same } from "./merge.ts";
import { loneTab, type Tabs } from "./tabs.ts";

export interface Summary {
  readonly id: string;
  readonly title: string;
}

export class ChatState {
  /** Stored conversations, the latest first. */
  readonly list = new Store<readonly Summary[]>([]);
  /** The one that is read; without a message in it, it is not stored yet. */
  readonly current: Store<Conversation>;
  /** How much of the open model's context that one takes. */
  readonly meter: ContextMeter;
  /** Id of the answer that this tab is writing. */
  readonly writing: Store<string | null>;
  readonly #app: AppState;
  readonly #kept: KeptConversations;
  readonly #writer: AnswerWriter;

  constructor(app: AppState, history: History, tabs: Tabs = loneTab()) {
    this.#app = app;
    this.current = new Store(emptyConversation());
    this.#kept = new KeptConversations(history, tabs, (error) => app.showError(error));
    this.#kept.changed.subscribe((id) => this.#follow(id));
    this.#writer = new AnswerWriter(app, this.#kept);
    this.writing = this.#writer.writing;
    this.meter = new ContextMeter(app, this.current, this.#writer);
  }

  /** Reads what is stored, and shows the conversation that was touched last. */
  async restore(): Promise<void> {
    await this.#kept.restore();
    this.#list();
    const latest = this.list.value[0];
    if (latest) this.open(latest.id);
  }

  /** An empty conversation; nothing is stored before something is written. */
  begin(): void {
    if (this.current.value.messages.length > 0) this.current.set(emptyConversation());
  }

  open(id: string): void {
    const conversation = this.#kept.get(id);
    if (conversation) this.current.set(conversation);
  }

  rename(id: string, title: string): void {
    const conversation = this.#kept.get(id);
    if (conversation) this.#kept.set(withTitle(conversation, title));
  }

  /** Deletes a conversation; an answer that is written in it is stopped. */
  async remove(id: string): Promise<void> {
    const removed = this.#kept.get(id);
    if (removed?.messages.some((message) => message.id === this.writing.value)) this.#app.stop();
    await this.#kept.remove(id);
  }

  /** Sends `text` behind the last message that is read, and has it answered. */
  send(text: string, after: string | null): void {
    if (text.trim() === "" || !this.#free()) return;
    const message = { id: crypto.randomUUID(), parent: after, role: "user", content: text.trimEnd() } as const;
    this.#take(withMessage(this.current.value, message, Date.now()));
    this.#answer(message.id);
  }

  /** Another version of a message of the reader's, beside the one there is, and an answer to it. */
  edit(id: string, text: string): void {
    const edited = messageOf(this.current.value, id);
    if (edited?.role === "user") this.send(text, edited.parent);
  }

  /** Another answer beside the one there is. */
  retry(id: string): void {
    const answer = messageOf(this.current.value, id);
    if (answer?.role === "assistant" && answer.parent !== null && this.#free()) this.#answer(answer.parent);
  }

  /** Lets an answer go on where it ended; with `leaveOut` without the oldest part where the conversation does not fit. */
  goOn(id: string, leaveOut = false): void {
    const answer = messageOf(this.current.value, id);
    if (answer?.role !== "assistant" || !this.#free()) return;
    const goesOn = answer.content !== "" || answer.reasoning !== "";
    this.#writer.write({ conversation: this.current.value.id, answer, goesOn, leaveOut });
  }

  /** Reads the branch `steps` further on. */
  turn(id: string, steps: number): void {
    this.#kept.set(withBranch(this.current.value, id, steps));
  }

  /** All conversations as JSON. */
  exported(): string {
    return writeConversations(this.#kept.latest());
  }

  /** Takes the conversations of a file beside those there are. @returns how many. @throws Error for another file. */
  imported(json: string): number {
    const conversations = readConversations(json);
    for (const conversation of conversations) {
      const taken = this.#kept.get(conversation.id) ? { ...conversation, id: crypto.randomUUID() } : conversation;
      this.#kept.set(withoutWriting(taken));
    }
    const first = conversations[0];
    if (first && this.current.value.messages.length === 0) this.open(this.list.value[0]?.id ?? first.id);
    return conversations.length;
  }

  /** Stores at once what waits to be. */
  flush(): Promise<void> {
    return this.#kept.flush();
  }

  #free(): boolean {
    return this.#app.model.value !== null && !this.#app.answering.value;
  }

  #answer(parent: string): void {
    const answer: Answer = {
      id: crypto.randomUUID(),
      parent,
      role: "assistant",
      content: "",
      state: "writing",
      model: this.#app.choice.value.label,
      prose: this.#app.prose.value,
      reasoning: "",
      thoughtMs: null,
      calls: [],
      figures: null,
      trouble: "",
      view: null,
    };
    this.#take(withMessage(this.current.value, answer, Date.now()));
    this.#writer.write({ conversation: this.current.value.id, answer, goesOn: false, leaveOut: false });
  }

  /** Takes a conversation that may be new, and reads it. */
  #take(conversation: Conversation): void {
    this.current.set(conversation);
    this.#kept.set(conversation);
  }

  /** A conversation changed, in this tab or in another, or is gone. */
  #follow(id: string): void {
    this.#list();
    if (this.current.value.id !== id) return;
    const conversation = this.#kept.get(id);
    if (conversation) this.current.set(conversation);
    else if (this.current.value.messages.length > 0) this.current.set(emptyConversation());
  }

  #list(): void {
    const summaries = this.#kept.latest().map(({ id, title }) => ({ id, title }));
    if (!same(summaries, this.list.value)) this.list.set(summaries);
  }
}

function emptyConversation(): Conversation {
  return newConversation(crypto.randomUUID(), Date.now());
}

/** Nobody writes what stands in a file. */
function withoutWriting(conversation: Conversation): Conversation {
  return brokenOff(conversation, writingIn(conversation));
}
