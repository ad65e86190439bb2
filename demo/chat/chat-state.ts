/**
 * The chat without its view: conversations, which of them is read, and answers while they are written. Every change is
 * stored, an answer several times a second while it grows, so that a reload loses next to nothing.
 */
import type { Model } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { Store } from "../store.ts";
import { AnswerDraft } from "./answer-draft.ts";
import { type AnswerRequest, answerChunks } from "./answer-stream.ts";
import {
  type Answer,
  type AnswerState,
  afterReload,
  type Conversation,
  messageOf,
  newConversation,
  pathTo,
  withAnswer,
  withBranch,
  withMessage,
  withTitle,
} from "./conversation.ts";
import { readConversations, writeConversations } from "./conversation-file.ts";
import type { History } from "./history.ts";

const SHOW_MS = 40;
const SAVE_MS = 400;

export interface Summary {
  readonly id: string;
  readonly title: string;
}

export class ChatState {
  /** Stored conversations, the latest first. */
  readonly list = new Store<readonly Summary[]>([]);
  /** The one that is read; without a message in it, it is not stored yet. */
  readonly current: Store<Conversation>;
  /** Id of the answer that is being written. */
  readonly writing = new Store<string | null>(null);
  readonly #app: AppState;
  #history: History;
  readonly #all = new Map<string, Conversation>();
  readonly #unsaved = new Set<string>();
  #saving: ReturnType<typeof setTimeout> | null = null;

  constructor(app: AppState, history: History) {
    this.#app = app;
    this.#history = history;
    this.current = new Store(newConversation(crypto.randomUUID(), Date.now()));
  }

  /** Reads what is stored, and shows the conversation that was touched last. */
  async restore(): Promise<void> {
    try {
      for (const stored of await this.#history.all()) this.#all.set(stored.id, afterReload(stored));
    } catch (error) {
      this.#app.showError(error);
    }
    this.#list();
    const latest = this.list.value[0];
    if (latest) this.open(latest.id);
  }

  /** An empty conversation; nothing is stored before something is written. */
  begin(): void {
    if (this.current.value.messages.length > 0) this.current.set(newConversation(crypto.randomUUID(), Date.now()));
  }

  open(id: string): void {
    const conversation = this.#all.get(id);
    if (conversation) this.current.set(conversation);
  }

  rename(id: string, title: string): void {
    this.#change(id, (conversation) => withTitle(conversation, title));
    this.#list();
  }

  /** Deletes a conversation; an answer that is written in it is stopped. */
  async remove(id: string): Promise<void> {
    const removed = this.#all.get(id);
    if (removed?.messages.some((message) => message.id === this.writing.value)) this.#app.stop();
    this.#all.delete(id);
    this.#unsaved.delete(id);
    this.#list();
    if (this.current.value.id === id) this.current.set(newConversation(crypto.randomUUID(), Date.now()));
    await this.#attempt(() => this.#history.remove(id));
  }

  /** Sends `text` behind the last message that is read, and has it answered. */
  send(text: string, after: string | null): void {
    if (text.trim() === "" || !this.#free()) return;
    const message = { id: crypto.randomUUID(), parent: after, role: "user", content: text.trimEnd() } as const;
    this.#add(withMessage(this.current.value, message, Date.now()));
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

  /** Lets an answer go on where it ended. */
  goOn(id: string): void {
    const answer = messageOf(this.current.value, id);
    if (answer?.role === "assistant" && this.#free()) this.#write(this.current.value.id, answer, true);
  }

  /** Reads the branch `steps` further on. */
  turn(id: string, steps: number): void {
    this.#change(this.current.value.id, (conversation) => withBranch(conversation, id, steps));
  }

  /** All conversations as JSON. */
  exported(): string {
    return writeConversations(this.list.value.flatMap(({ id }) => this.#all.get(id) ?? []));
  }

  /** Takes the conversations of a file beside those there are. @returns how many. @throws Error for another file. */
  imported(json: string): number {
    const conversations = readConversations(json).map(afterReload);
    for (const conversation of conversations) {
      const taken = this.#all.has(conversation.id) ? { ...conversation, id: crypto.randomUUID() } : conversation;
      this.#add(taken, false);
    }
    const first = conversations[0];
    if (first && this.current.value.messages.length === 0) this.open(this.list.value[0]?.id ?? first.id);
    return conversations.length;
  }

  /** Stores at once what waits to be. */
  async flush(): Promise<void> {
    if (this.#saving !== null) clearTimeout(this.#saving);
    this.#saving = null;
    const ids = [...this.#unsaved];
    this.#unsaved.clear();
    for (const id of ids) {
      const conversation = this.#all.get(id);
      if (conversation) await this.#attempt(() => this.#history.put(conversation));
    }
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
    };
    this.#add(withMessage(this.current.value, answer, Date.now()));
    this.#write(this.current.value.id, answer, false);
  }

  #write(id: string, answer: Answer, goesOn: boolean): void {
    const conversation = this.#all.get(id);
    if (!conversation) return;
    const path = pathTo(conversation, goesOn ? answer.id : (answer.parent ?? ""));
    const settings = this.#app.settings.value;
    const seed = settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    const before = goesOn ? answer : null;
    const request = { path, before, prose: answer.prose, settings, seed };
    this.writing.set(answer.id);
    this.#change(id, (all) => withAnswer(all, answer.id, { state: "writing", trouble: "" }));
    this.#app.say("The model is writing.");
    this.#app.answer((model, signal) => this.#follow(id, answer, model, { ...request, signal }));
  }

  async #follow(id: string, answer: Answer, model: Model, request: AnswerRequest): Promise<void> {
    const draft = new AnswerDraft(answer, performance.now());
    const seed = request.settings.temperature > 0 ? request.seed : null;
    const show = (change: Partial<Answer> = {}) => {
      const { content, reasoning, thoughtMs, calls } = draft;
      const now = { content, reasoning, thoughtMs, calls: calls.map((call) => ({ ...call })), ...change };
      this.#change(id, (all) => withAnswer(all, answer.id, now));
    };
    let shownAt = 0;
    let state: AnswerState = "stop";
    let trouble = "";
    try {
      for await (const chunk of answerChunks(model, request)) {
        draft.take(chunk, performance.now());
        if (performance.now() - shownAt < SHOW_MS) continue;
        shownAt = performance.now();
        show();
      }
      state = draft.finish === "tool_calls" ? "tools" : (draft.finish ?? "stop");
    } catch (error) {
      state = request.signal.aborted ? "stopped" : "broken";
      if (state === "broken") {
        trouble = error instanceof Error ? error.message : String(error);
        this.#app.showError(error);
      }
    } finally {
      draft.end(performance.now());
      show({ state, trouble, figures: draft.figures(seed) });
      this.writing.set(null);
      this.#app.say(endingText(state, draft.figures(seed).tokens));
      await this.flush();
    }
  }

  #add(conversation: Conversation, read = true): void {
    this.#all.set(conversation.id, conversation);
    if (read) this.current.set(conversation);
    this.#list();
    this.#save(conversation.id);
  }

  #change(id: string, change: (conversation: Conversation) => Conversation): void {
    const before = this.#all.get(id);
    if (!before) return;
    const after = change(before);
    this.#all.set(id, after);
    if (this.current.value.id === id) this.current.set(after);
    this.#save(id);
  }

  #list(): void {
    const latest = [...this.#all.values()].sort((a, b) => b.updatedAt - a.updatedAt);
    this.list.set(latest.map(({ id, title }) => ({ id, title })));
  }

  #save(id: string): void {
    this.#unsaved.add(id);
    this.#saving ??= setTimeout(() => void this.flush(), SAVE_MS);
  }

  async #attempt(store: () => Promise<void>): Promise<void> {
    try {
      await store();
    } catch (error) {
      this.#app.showError(error);
    }
  }
}

/** How an answer ended, in words; `tokens` are those of all of it. */
export function endingText(state: AnswerState, tokens: number): string {
  if (tokens === 0 && state === "stopped") return "Stopped before the first token";
  const counted = `${tokens} token${tokens === 1 ? "" : "s"}`;
  switch (state) {
    case "writing":
      return "Writing";
    case "stop":
      return `The model ended here, after ${counted}`;
    case "length":
      return `Paused after ${counted}`;
    case "tools":
      return `The model calls a tool, after ${counted}`;
    case "stopped":
      return `Stopped after ${counted}`;
    case "broken":
      return tokens === 0 ? "Broke off" : `Broke off after ${counted}`;
  }
}
