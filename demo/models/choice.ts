/** Which model the page opens: the one it brings, the one `?model=` names, one by address, or files from this machine. */
import type { ModelSource } from "../../src/index.ts";

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

export function choiceOfUrl(url: string): Choice {
  const path = url.split(/[?#]/u)[0] ?? url;
  return { label: path.split("/").filter(Boolean).at(-1) ?? url, source: url };
}

/** What to call picked files. */
export function labelOfFiles(files: readonly File[]): string {
  const weights = files.find((file) => !file.name.endsWith(".json")) ?? files[0];
  const first = weights?.name ?? "no file";
  return files.length === 1 ? first : `${first} and ${files.length - 1} more`;
}
