/**
 * Has the open model write an answer into a conversation, and follows it: as it grows, how it ends, and what of the
 * conversation the model is shown where all of it does not fit.
 */
import type { Model } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { Store } from "../store.ts";
import { AnswerDraft } from "./answer-draft.ts";
import { type AnswerRequest, answerChunks, promptLength } from "./answer-stream.ts";
import { firstFitting, lastView, promptRoom, shown, viewsOf } from "./context-fit.ts";
import { type Answer, type AnswerState, type Message, pathTo, type View, withAnswer } from "./conversation.ts";
import { endingText, fullText } from "./ending.ts";
import type { KeptConversations } from "./kept-conversations.ts";

const SHOW_MS = 40;

/** Which answer is to be written, and how. */
export interface Writing {
  readonly conversation: string;
  readonly answer: Answer;
  /** Behind what is there of it. */
  readonly goesOn: boolean;
  /** The oldest part may be left out where the conversation does not fit. */
  readonly leaveOut: boolean;
}

/** What the model is shown, and the tokens that it takes; `fits` says whether there is room for it. */
interface Fit {
  readonly view: View | null;
  readonly tokens: number;
  readonly fits: boolean;
}

type Ending = Partial<Answer> & { readonly state: AnswerState };

export class AnswerWriter {
  /** Id of the answer that is being written. */
  readonly writing = new Store<string | null>(null);
  /** Tokens of the conversation whose answer is being written, with what there is of it. */
  readonly tokens = new Store(0);
  readonly #app: AppState;
  readonly #kept: KeptConversations;

  constructor(app: AppState, kept: KeptConversations) {
    this.#app = app;
    this.#kept = kept;
  }

  write(what: Writing): void {
    const conversation = this.#kept.get(what.conversation);
    if (!conversation) return;
    const { answer, goesOn } = what;
    const path = pathTo(conversation, goesOn ? answer.id : (answer.parent ?? ""));
    const settings = this.#app.settings.value;
    const seed = settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    const before = goesOn ? answer : null;
    this.writing.set(answer.id);
    this.#app.say("The model is writing.");
    this.#app.answer((model, signal) =>
      this.#hold(what, model, { path, before, prose: answer.prose, settings, seed, signal }),
    );
  }

  /** Writes while no other tab does. */
  async #hold(what: Writing, model: Model, request: AnswerRequest): Promise<void> {
    const release = await this.#kept.hold(what.answer.id);
    try {
      if (release) await this.#write(what, model, request);
      else this.#app.say("Another tab is writing this answer.");
    } finally {
      this.writing.set(null);
      release?.();
    }
  }

  async #write(what: Writing, model: Model, request: AnswerRequest): Promise<void> {
    const draft = new AnswerDraft(what.answer, performance.now());
    const seed = request.settings.temperature > 0 ? request.seed : null;
    this.#change(what, { state: "writing", trouble: "" });
    let ending: Ending = { state: "stop" };
    try {
      const { view, tokens, fits } = await this.#fit(model, request, what.leaveOut);
      if (!fits) ending = this.#full(request.path, request.prose, tokens);
      else {
        this.#change(what, { view });
        await this.#follow(what, model, { ...request, path: shown(request.path, view) }, draft, tokens);
        ending = this.#endingOf(request, draft);
      }
    } catch (error) {
      ending = this.#failure(request, error);
    } finally {
      draft.end(performance.now());
      const figures = draft.pieces > 0 || draft.usage ? draft.figures(seed) : what.answer.figures;
      this.#change(what, { ...draft.said(), figures, ...ending });
      this.#app.say(endingText(ending.state, figures?.tokens ?? 0));
      await this.#kept.flush();
    }
  }

  /** All of the conversation where it fits, else what the last answer was written from, else, if it may be, less. */
  async #fit(model: Model, { path, ...request }: AnswerRequest, leaveOut: boolean): Promise<Fit> {
    const count = (view: View | null) => promptLength(model, { ...request, path: shown(path, view) });
    const { most, good } = promptRoom(this.#app.contextLength.value, request.settings.maxTokens);
    const last = lastView(path);
    let tokens = 0;
    for (const view of last ? [null, last] : [null]) {
      tokens = await count(view);
      if (tokens <= most) return { view, tokens, fits: true };
    }
    const view = leaveOut ? await firstFitting(viewsOf(path, request.prose), good, count) : null;
    if (view) tokens = await count(view);
    return { view, tokens, fits: tokens <= most };
  }

  async #follow(
    what: Writing,
    model: Model,
    request: AnswerRequest,
    draft: AnswerDraft,
    tokens: number,
  ): Promise<void> {
    let shownAt = 0;
    for await (const chunk of answerChunks(model, request)) {
      draft.take(chunk, performance.now());
      if (performance.now() - shownAt < SHOW_MS) continue;
      shownAt = performance.now();
      this.#change(what, draft.said());
      this.tokens.set(tokens + draft.pieces);
    }
  }

  #endingOf({ path, prose }: AnswerRequest, { finish, usage }: AnswerDraft): Ending {
    const taken = usage ? usage.prompt_tokens + usage.completion_tokens : 0;
    if (finish === "length" && taken >= this.#app.contextLength.value) return this.#full(path, prose, taken);
    return { state: finish === "tool_calls" ? "tools" : (finish ?? "stop"), trouble: "" };
  }

  #failure({ path, prose, signal }: AnswerRequest, error: unknown): Ending {
    if (signal.aborted) return { state: "stopped", trouble: "" };
    if (isFull(error)) return this.#full(path, prose, this.#app.contextLength.value);
    this.#app.showError(error);
    return { state: "broken", trouble: error instanceof Error ? error.message : String(error) };
  }

  #full(path: readonly Message[], prose: boolean, tokens: number): Ending {
    const canGoOn = viewsOf(path, prose).length > 0;
    return { state: "full", trouble: fullText(tokens, this.#app.contextLength.value, canGoOn) };
  }

  #change({ conversation, answer }: Writing, change: Partial<Answer>): void {
    const now = this.#kept.get(conversation);
    if (now) this.#kept.set(withAnswer(now, answer.id, change));
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "context-full";
}
