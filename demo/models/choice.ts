/** Which model the page opens: the one it brings, the one `?model=` names, one by address or id, or files picked here. */
import type { HubSource, ModelSource } from "../../src/index.ts";
import type { CatalogueEntry } from "./catalogue.ts";

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

/** `owner/name`, then `@revision` and `:Q4_K_M` or `:file.gguf` in either order. */
const HUB_ID = /^(?:hf:)?([a-z\d][\w.-]*\/[a-z\d][\w.-]*)((?:@[^\s:@]+|:[^\s:@]+){0,2})$/i;

/** What the page's address asks for. */
export function firstChoice(search: string): Choice {
  const text = new URLSearchParams(search).get("model")?.trim();
  return text ? choiceOfText(text) : OCTAVO_TALES;
}

/**
 * A model by what a reader types: an address, or the id of a model on the hub.
 * @param token access token for the hub; it goes nowhere else, and is kept as long as the choice.
 */
export function choiceOfText(text: string, token = ""): Choice {
  const hub = hubSourceOf(text);
  if (hub) return { label: labelOfHub(hub), source: token ? { ...hub, token } : hub };
  const path = text.split(/[?#]/u)[0] ?? text;
  return { label: path.split("/").filter(Boolean).at(-1) ?? text, source: text };
}

export function choiceOfEntry({ name, repo, quantization }: CatalogueEntry, token = ""): Choice {
  const source = { repo, quantization };
  return { label: name, source: token ? { ...source, token } : source };
}

export function choiceOfFiles(files: readonly File[]): Choice {
  return { label: labelOfFiles(files), source: files };
}

/** Where a choice comes from, as a reader would write it; never a token. */
export function placeOf({ label, source }: Choice): string {
  if (typeof source === "string") return source;
  if ("repo" in source) {
    const { repo, revision, quantization, file } = source;
    const choice = file ?? quantization;
    return `${repo}${revision ? `@${revision}` : ""}${choice ? `:${choice}` : ""}`;
  }
  return label;
}

/** Whether its bytes come over the network, so that they can be kept on disk. */
export function isRemote({ source }: Choice): boolean {
  return typeof source === "string" || source instanceof URL || "repo" in source;
}

function hubSourceOf(text: string): HubSource | undefined {
  const [, repo, rest = ""] = HUB_ID.exec(text) ?? [];
  if (repo === undefined) return undefined;
  const marked = /^hf:/i.test(text) || rest !== "";
  if (!marked && isGguf(repo)) return undefined; // `models/tales.gguf` is a file beside the page
  const revision = /@([^:@]+)/.exec(rest)?.[1];
  const choice = /:([^:@]+)/.exec(rest)?.[1];
  return {
    repo,
    ...(revision === undefined ? {} : { revision }),
    ...(choice === undefined ? {} : isGguf(choice) ? { file: choice } : { quantization: choice }),
  };
}

function labelOfHub({ repo, file, quantization }: HubSource): string {
  const name = repo.split("/")[1] ?? repo;
  const which = file ?? quantization;
  return which ? `${name} ${which}` : name;
}

/** What to call picked files. */
function labelOfFiles(files: readonly File[]): string {
  const weights = files.find((file) => !file.name.endsWith(".json")) ?? files[0];
  const first = weights?.name ?? "no file";
  return files.length === 1 ? first : `${first} and ${files.length - 1} more`;
}

function isGguf(name: string): boolean {
  return name.toLowerCase().endsWith(".gguf");
}
