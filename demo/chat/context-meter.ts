/** How much of the open model's context the conversation takes that is read: counted when it rests, added to while it grows. */
import type { AppState } from "../app-state.ts";
import { type Readable, Store } from "../store.ts";
import { promptLength } from "./answer-stream.ts";
import type { AnswerWriter } from "./answer-writer.ts";
import { lastView, shown } from "./context-fit.ts";
import { type Conversation, pathOf } from "./conversation.ts";

const WAIT_MS = 150;

export class ContextMeter {
  /** Tokens of what the model is shown; `null` while that is not known. */
  readonly tokens = new Store<number | null>(null);
  readonly #app: AppState;
  readonly #current: Readable<Conversation>;
  readonly #writer: AnswerWriter;
  #waiting: ReturnType<typeof setTimeout> | null = null;

  constructor(app: AppState, current: Readable<Conversation>, writer: AnswerWriter) {
    this.#app = app;
    this.#current = current;
    this.#writer = writer;
    const later = () => {
      this.#waiting ??= setTimeout(() => void this.#count(), WAIT_MS);
    };
    for (const store of [app.model, app.settings, current, writer.writing]) store.subscribe(later);
    writer.tokens.subscribe((tokens) => this.tokens.set(tokens));
  }

  async #count(): Promise<void> {
    this.#waiting = null;
    const [model, conversation] = [this.#app.model.value, this.#current.value];
    if (this.#writer.writing.value !== null) return; // the writer counts
    const path = pathOf(conversation);
    if (!model || path.length === 0) {
      this.tokens.set(null);
      return;
    }
    const [prose, settings] = [this.#app.prose.value, this.#app.settings.value];
    const request = { before: null, prose, path: shown(path, lastView(path)), settings };
    const tokens = await promptLength(model, request).catch(() => null); // messages that the template refuses
    if (this.#waiting === null && this.#writer.writing.value === null) this.tokens.set(tokens);
  }
}
