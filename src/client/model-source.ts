/** What a page points at, made plain for the worker: relative addresses resolved, ids of models on a hub taken apart. */
import { UsageError } from "../errors.ts";
import type { HubSource, ModelSource } from "./types.ts";

/** What crosses the border: a text is an absolute address. */
export type WireSource = Exclude<ModelSource, URL>;

/** `hf:owner/name@revision:choice`; only owner and name must be there. */
const HUB_ID = /^(?:hf:)?([a-z\d][\w.-]*\/[a-z\d][\w.-]*)(?:@([^\s:]+))?(?::([^\s:]+))?$/i;
/** The page of a model, as people copy it from their browser. */
const HUB_PAGE = /^(https:\/\/(?:huggingface\.co|hf\.co))\/([^/?#]+\/[^/?#]+?)(?:\/tree\/([^/?#]+))?\/?$/;

/**
 * `source` as the worker takes it.
 * @param base against which relative addresses are resolved; without one they are refused.
 * @throws UsageError for a text that is neither address nor hub id.
 */
export function wireSource(source: ModelSource, base?: string): WireSource {
  if (source instanceof URL) return wireSource(source.href, base);
  if (typeof source !== "string") return source;
  const hub = parseHubId(source);
  if (hub) return hub;
  try {
    return new URL(source, base).href;
  } catch {
    throw new UsageError(
      `"${source}" is neither an address nor a model on a hub. Give a .gguf file, a folder that holds config.json, ` +
        "or owner/name.",
    );
  }
}

/** Whether it is read over the network: an address, or a model on a hub. */
export function isRemote(source: WireSource): source is string | HubSource {
  return typeof source === "string" || "repo" in source;
}

/** `undefined` for a text that is no id of a model on a hub. @throws UsageError for one that begins as such. */
export function parseHubId(text: string): HubSource | undefined {
  const [, endpoint, path, tree] = HUB_PAGE.exec(text) ?? [];
  if (endpoint !== undefined && path !== undefined) {
    return { repo: path, endpoint, ...(tree === undefined ? {} : { revision: decodeURIComponent(tree) }) };
  }
  const [, repo, revision, choice] = HUB_ID.exec(text) ?? [];
  const marked = /^hf:/i.test(text);
  if (repo === undefined) {
    if (!marked) return undefined;
    throw new UsageError(
      `"${text}": expected hf:owner/name, and perhaps @revision and :Q4_K_M or :file.gguf behind it`,
    );
  }
  // `models/tales.gguf` is a file beside the page.
  if (!marked && choice === undefined && isGguf(repo)) return undefined;
  return { repo, ...(revision === undefined ? {} : { revision }), ...chosen(choice) };
}

function chosen(choice: string | undefined): Partial<HubSource> {
  if (choice === undefined) return {};
  return isGguf(choice) ? { file: choice } : { quantization: choice };
}

function isGguf(name: string): boolean {
  return name.toLowerCase().endsWith(".gguf");
}
