/**
 * Errors where the reader sees them: each a notice with the error's name, its message, perhaps a button that helps,
 * and a button that takes it away. The same error twice is one notice.
 */
import { byId, element } from "./dom.ts";

export interface Remedy {
  readonly label: string;
  readonly run: () => void;
}

export class Notices {
  readonly #root = byId("notices", HTMLElement);

  /** Shows `error`; an abort is what the reader asked for and is not shown. */
  show(error: unknown, remedy?: Remedy): void {
    const { name, message } = describe(error);
    if (name === "AbortError") return;
    this.#removeSame(name, message);
    const notice = element("div", "notice");
    notice.setAttribute("role", "alert");
    const text = element("p");
    text.append(element("strong", "", name), " ", message);
    notice.append(text);
    if (remedy)
      notice.append(
        button(remedy.label, () => {
          notice.remove();
          remedy.run();
        }),
      );
    const dismiss = button("Dismiss", () => notice.remove());
    dismiss.classList.add("quiet");
    notice.append(dismiss);
    this.#root.append(notice);
    notice.scrollIntoView({ block: "nearest" });
  }

  clear(): void {
    this.#root.replaceChildren();
  }

  #removeSame(name: string, message: string): void {
    for (const notice of [...this.#root.children]) {
      if (notice.querySelector("p")?.textContent === `${name} ${message}`) notice.remove();
    }
  }
}

function describe(error: unknown): { name: string; message: string } {
  if (error instanceof Error) return { name: error.name, message: error.message || "No message was given." };
  return { name: "Error", message: String(error) };
}

function button(label: string, run: () => void): HTMLButtonElement {
  const made = element("button", "", label);
  made.type = "button";
  made.addEventListener("click", run);
  return made;
}
