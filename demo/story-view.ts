/**
 * The page of the book: a beginning to write, and the story that grows from it. The view shows and asks; what it is
 * asked to do goes to its handlers.
 */
import { byId, element, setText } from "./dom.ts";

export interface StoryHandlers {
  readonly onBegin: (beginning: string) => void;
  readonly onStop: () => void;
  readonly onFurther: () => void;
  readonly onRestart: () => void;
}

const EXAMPLES = [
  { label: "The little girl", text: "Once upon a time there was a little girl who" },
  { label: "Three sons", text: "The king said to his three sons," },
  { label: "The fox", text: '"Come with me," said the fox,' },
] as const;

const DEFAULT_BEGINNING = "In a small house at the edge of the forest lived an old woman and her cat. One winter night";

export class StoryView {
  readonly #draft = byId("draft", HTMLFormElement);
  readonly #told = byId("told", HTMLElement);
  readonly #leaf = byId("leaf", HTMLElement);
  readonly #beginning = byId("beginning", HTMLTextAreaElement);
  readonly #continue = byId("continue", HTMLButtonElement);
  readonly #prompt = byId("prompt-text", HTMLElement);
  readonly #answer = byId("answer-text", HTMLElement);
  readonly #caret = byId("caret", HTMLElement);
  readonly #stop = byId("stop", HTMLButtonElement);
  readonly #further = byId("further", HTMLButtonElement);
  readonly #restart = byId("restart", HTMLButtonElement);
  readonly #status = byId("told-status", HTMLElement);
  readonly #folio = byId("folio", HTMLElement);
  readonly #handlers: StoryHandlers;
  #ready = false;

  constructor(handlers: StoryHandlers) {
    this.#handlers = handlers;
    this.#beginning.value = DEFAULT_BEGINNING;
    this.#draft.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    this.#beginning.addEventListener("input", () => this.#enable());
    this.#beginning.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#begin();
    });
    this.#stop.addEventListener("click", () => this.#askToStop());
    this.#further.addEventListener("click", handlers.onFurther);
    this.#restart.addEventListener("click", handlers.onRestart);
    this.#told.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#stop.hidden) this.#askToStop();
    });
    this.#addExamples();
  }

  /** Whether there is a model to continue with. */
  set ready(ready: boolean) {
    this.#ready = ready;
    this.#enable();
  }

  setTitle(name: string): void {
    setText(byId("running-head", HTMLElement), name);
  }

  /** Back to the draft, with the beginning as it was written. */
  showDraft(focus: boolean): void {
    this.#told.hidden = true;
    this.#draft.hidden = false;
    setText(this.#folio, "");
    if (focus) this.#beginning.focus();
  }

  /** The beginning stands; the model is to speak. */
  startTelling(beginning: string): void {
    setText(this.#prompt, beginning);
    setText(this.#answer, "");
    this.#draft.hidden = true;
    this.#told.hidden = false;
    this.resumeTelling();
  }

  resumeTelling(): void {
    this.#buttons({ stop: true, further: false });
    this.#caret.hidden = false;
    this.#leaf.setAttribute("aria-busy", "true");
    setText(this.#status, "Reading what is there");
    this.#stop.focus({ preventScroll: true });
  }

  /** Shows the whole answer so far, and keeps the end in sight of a reader who is at the end. */
  showAnswer(text: string, tokens: number): void {
    const atEnd = this.#leaf.scrollHeight - this.#leaf.scrollTop - this.#leaf.clientHeight < 40;
    const shown = this.#answer.textContent;
    if (text.startsWith(shown) && this.#answer.lastChild instanceof Text) {
      this.#answer.lastChild.appendData(text.slice(shown.length));
    } else {
      setText(this.#answer, text);
    }
    setText(this.#folio, `${tokens}`);
    if (!this.#caret.hidden) setText(this.#status, "");
    this.#makeReachable();
    if (atEnd) this.#leaf.scrollTop = this.#leaf.scrollHeight;
  }

  /** The model paused; `canGoOn` says whether there is room for more. */
  endTelling(status: string, canGoOn: boolean): void {
    const hadFocus = document.activeElement === this.#stop;
    this.#caret.hidden = true;
    this.#leaf.setAttribute("aria-busy", "false");
    this.#buttons({ stop: false, further: canGoOn });
    setText(this.#status, status);
    if (hadFocus) (canGoOn ? this.#further : this.#restart).focus({ preventScroll: true });
  }

  /** A leaf that scrolls can be scrolled by keyboard. */
  #makeReachable(): void {
    const scrolls = this.#leaf.scrollHeight > this.#leaf.clientHeight + 1;
    if (scrolls) this.#leaf.tabIndex = 0;
    else this.#leaf.removeAttribute("tabindex");
  }

  /** A stop takes effect at the end of a step, which can be a while on a slow adapter. */
  #askToStop(): void {
    setText(this.#status, "Stopping after this step");
    this.#handlers.onStop();
  }

  #begin(): void {
    const beginning = this.#beginning.value.trimEnd();
    if (this.#ready && beginning) this.#handlers.onBegin(beginning);
  }

  #enable(): void {
    this.#continue.disabled = !this.#ready || this.#beginning.value.trim() === "";
  }

  #buttons(shown: { stop: boolean; further: boolean }): void {
    this.#stop.hidden = !shown.stop;
    this.#further.hidden = !shown.further;
    this.#restart.hidden = shown.stop;
  }

  #addExamples(): void {
    for (const { label, text } of EXAMPLES) {
      const chip = element("button", "chip", label);
      chip.type = "button";
      chip.title = text;
      chip.addEventListener("click", () => {
        this.#beginning.value = text;
        this.#enable();
        this.#beginning.focus();
      });
      byId("examples", HTMLElement).append(chip);
    }
  }
}
