/**
 * Turns what a caller points at - an address, picked files, memory - into a folder of named sources; reads no format.
 * The types are those of the page's `ModelSource`, spelled out because sources know nothing of pages.
 */
import { SourceError, UsageError } from "../errors.ts";
import type { ByteSource, FileSet } from "./byte-source.ts";
import { fileSource } from "./file.ts";
import { baseName, isGgufName, isSafeFileName, parseSplitName } from "./file-name.ts";
import { openHttp } from "./http.ts";
import { withoutQuery } from "./http-address.ts";
import { answeredWith } from "./http-answer.ts";
import { isImmutable, statHttp } from "./http-stat.ts";
import { memorySource } from "./memory.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** A picked file, or one held in memory. */
type NamedFile = File | { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> | ArrayBuffer };

/**
 * The folder that `source` points at. Reads nothing yet.
 * @param source an address ending in `.gguf` is that file with its folder, any other address a folder; of files,
 *   the one `.gguf` (the first of a split) is the entry. A relative address must have been resolved before.
 * @throws UsageError for an address that is none, no file at all, or several different GGUF files.
 */
export function openFileSet(source: string | URL | NamedFile | readonly NamedFile[], hooks: SourceHooks = {}): FileSet {
  if (typeof source === "string" || source instanceof URL) return urlFileSet(parseAddress(source), hooks);
  return pickedFileSet(isList(source) ? source : [source], hooks);
}

function isList(source: NamedFile | readonly NamedFile[]): source is readonly NamedFile[] {
  return Array.isArray(source);
}

function parseAddress(address: string | URL): URL {
  // A relative address is not resolved here: in a worker the base would be the worker's script, not the page.
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new UsageError(`"${String(address)}" is no address: expected an absolute http(s) URL of a .gguf or a folder`);
  }
  if (!/^https?:$/.test(url.protocol)) {
    throw new UsageError(`"${url.href}": expected an http or https address, got ${url.protocol}`);
  }
  url.hash = "";
  return url;
}

function urlFileSet(url: URL, hooks: SourceHooks): FileSet {
  const isFile = isGgufName(url.pathname);
  const folder = new URL(url);
  if (isFile) folder.pathname = url.pathname.slice(0, url.pathname.lastIndexOf("/") + 1);
  else if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  const entry = isFile ? decodeName(baseName(url.pathname)) : undefined;
  return {
    label: withoutQuery(isFile ? url : folder),
    entry,
    stat: async (name, signal) => {
      checkName(name);
      const { href } = name === entry ? url : childOf(folder, name);
      return isImmutable(href) ? "immutable" : statHttp(href, hooks, signal);
    },
    open: async (name, signal) => {
      checkName(name);
      const address = name === entry ? url : childOf(folder, name);
      const opened = await openHttp(address.href, hooks, signal);
      if (!("missing" in opened)) return opened;
      if (name !== entry) return undefined;
      const label = withoutQuery(address);
      throw new SourceError(
        `${label}: no such file on the server (${opened.missing})`,
        answeredWith(label, opened.status),
      );
    },
  };
}

/** The query stays: where an address carries an access token, its siblings need it too. */
function childOf(folder: URL, name: string): URL {
  const child = new URL(folder);
  child.pathname += name.split("/").map(encodeURIComponent).join("/");
  return child;
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function pickedFileSet(files: readonly NamedFile[], hooks: SourceHooks): FileSet {
  if (files.length === 0) throw new UsageError("No file was given: expected a .gguf, or config.json and safetensors");
  const entry = entryOf(files.map((file) => file.name));
  const label = files.length === 1 ? (files[0]?.name ?? "file") : `${files.length} files`;
  return {
    label,
    entry,
    open: async (name) => {
      checkName(name);
      const file = find(files, name);
      return file && sourceOf(file, hooks);
    },
  };
}

function sourceOf(file: NamedFile, hooks: SourceHooks): ByteSource {
  return file instanceof Blob ? fileSource(file.name, file, hooks) : memorySource(file.name, file.bytes, hooks);
}

/** The file called `name`; of several in a picked folder's sub-folders, the one nearest to its top. */
function find(files: readonly NamedFile[], name: string): NamedFile | undefined {
  const wanted = baseName(name);
  const depth = (file: NamedFile): number => pathOf(file).split("/").length;
  return files.filter((file) => baseName(file.name) === wanted).sort((a, b) => depth(a) - depth(b))[0];
}

function pathOf(file: NamedFile): string {
  return ("webkitRelativePath" in file && file.webkitRelativePath) || file.name;
}

/**
 * The GGUF file among `files` that is meant: the only one, or the first of a split; `undefined` where there is none.
 * @throws UsageError for several different models.
 */
export function entryOf(files: readonly string[]): string | undefined {
  const names = files.map(baseName).filter(isGgufName);
  const candidates = names.filter((name) => (parseSplitName(name)?.index ?? 1) === 1);
  if (candidates.length > 1) {
    throw new UsageError(`Expected one GGUF model, got ${candidates.length}: ${candidates.slice(0, 5).join(", ")}`);
  }
  return candidates[0] ?? names[0];
}

function checkName(name: string): void {
  if (!isSafeFileName(name)) throw new UsageError(`"${name}" is no file name inside the model's folder`);
}
