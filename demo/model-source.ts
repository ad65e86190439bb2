/**
 * Which model the page opens: the one it brings, the one `?model=` names, one by URL, or files from this machine.
 * The view only says what is wanted; loading is `library.ts`.
 */
import type { Model, ModelSource } from "../src/index.ts";
import { byId, setText } from "./dom.ts";

export interface Choice {
  readonly label: string;
  readonly source: ModelSource;
  /** What loading may take at first; without it the runtime decides. */
  readonly budgetBytes?: number;
}

export const OCTAVO_TALES: Choice = {
  label: "Octavo Tales",
  source: "models/octavo-tales/octavo-tales-q8_0.gguf",
};

/** What the page's address asks for. */
export function firstChoice(search: string): Choice {
  const url = new URLSearchParams(search).get("model")?.trim();
  return url ? choiceOfUrl(url) : OCTAVO_TALES;
}

export class ModelSourceView {
  readonly #url = byId("url", HTMLInputElement);
  readonly #files = byId("files", HTMLInputElement);

  /** @param look for what is not known yet: by address, or from this machine. */
  constructor(look: (choice: Choice) => void, open: (choice: Choice) => void, reload: () => void) {
    byId("url-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const url = this.#url.value.trim();
      if (url) look(choiceOfUrl(url));
    });
    this.#files.addEventListener("change", () => {
      const files = [...(this.#files.files ?? [])];
      this.#files.value = "";
      if (files.length > 0) look({ label: labelOfFiles(files), source: files });
    });
    byId("reload", HTMLButtonElement).addEventListener("click", reload);
    byId("default-model", HTMLButtonElement).addEventListener("click", () => open(OCTAVO_TALES));
  }

  /** What is open, in a sentence. */
  describe(choice: Choice, model: Model | null): void {
    const from = typeof choice.source === "string" ? choice.source : choice.label;
    setText(byId("model-facts", HTMLElement), model ? `${from}: ${factsOf(model)}.` : `${from}: not loaded.`);
  }
}

function factsOf(model: Model): string {
  const { layers, architecture, contextLength } = model.spec;
  const moe = layers.map((layer) => layer.mlp).filter((mlp) => mlp?.kind === "moe");
  const first = moe[0];
  const experts = first ? `, ${moe.length} of them with ${first.numExperts} experts, ${first.topK} at a time` : "";
  return `${architecture}, ${layers.length} layers${experts}, context ${contextLength} tokens`;
}

function choiceOfUrl(url: string): Choice {
  const path = url.split(/[?#]/u)[0] ?? url;
  return { label: path.split("/").filter(Boolean).at(-1) ?? url, source: url };
}

function labelOfFiles(files: readonly File[]): string {
  const weights = files.find((file) => !file.name.endsWith(".json")) ?? files[0];
  const first = weights?.name ?? "no file";
  return files.length === 1 ? first : `${first} and ${files.length - 1} more`;
}
