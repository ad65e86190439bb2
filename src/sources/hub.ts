/**
 * A repository of a Hugging Face hub as a folder of sources. The hub's own library lists the files; they are read by range
 * like any other. Everything is read at the commit that the revision meant when it was opened. A token goes to the hub's
 * origin, in a header, and nowhere else: the library does not see it.
 */
import { OctavoError, SourceError, UsageError } from "../errors.ts";
import { throwIfAborted } from "../util/abort.ts";
import type { ByteSource, FileSet } from "./byte-source.ts";
import { isSafeFileName } from "./file-name.ts";
import { openHttp } from "./http.ts";
import { type HttpAccess, HttpAddress } from "./http-address.ts";
import { answeredWith, exchange, readWholeBody, statusError } from "./http-answer.ts";
import { chooseEntry, type HubFile, type HubWish } from "./hub-files.ts";
import { withRetries } from "./retry.ts";
import type { SourceHooks } from "./source-hooks.ts";

const DEFAULT_ENDPOINT = "https://huggingface.co";
/** One page of a listing has at most a thousand entries of some hundred bytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** Far above any repository of one model. */
const MAX_FILES = 20_000;
const OWNER_AND_NAME = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;

/** A model on a hub. The page's `HubSource`, spelled out because sources know nothing of pages. */
export interface HubPlace extends HubWish {
  readonly repo: string;
  readonly revision?: string;
  readonly token?: string;
  readonly endpoint?: string;
}

/** A repository at one commit. */
interface Repository {
  readonly place: HubPlace;
  /** Address of the hub without a slash at its end. */
  readonly endpoint: string;
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
  readonly access: HttpAccess;
}

/**
 * The folder of the model at `place`; the chosen GGUF is its entry. Asks the hub for commit and listing.
 * @throws UsageError for a malformed id, endpoint or token, or an ambiguous choice (it lists what there is);
 *   SourceError when the hub has no such model or refuses it; `AbortError`.
 */
export async function openHub(place: HubPlace, hooks: SourceHooks, signal?: AbortSignal): Promise<FileSet> {
  throwIfAborted(signal);
  if (!OWNER_AND_NAME.test(place.repo)) {
    throw new UsageError(`"${place.repo}" is no model on a hub: expected owner/name`);
  }
  const endpoint = endpointOf(place.endpoint ?? DEFAULT_ENDPOINT);
  const access = accessOf(place, endpoint);
  const { commit, files } = await listRepository(place, endpoint, hubFetch(endpoint, access, hooks, signal));
  const repository = { place, endpoint, commit, files, access };
  const path = chooseEntry(place.repo, [...files.values()], place);
  const folder = path?.slice(0, path.lastIndexOf("/") + 1) ?? "";
  return {
    label: path === undefined ? place.repo : `${place.repo}/${path}`,
    entry: path?.slice(folder.length),
    // The listing has just said it.
    stat: async (name) => {
      const file = fileOf(repository, folder, name);
      return file && { size: file.bytes, version: file.hash };
    },
    open: (name, openSignal) => openFile(repository, folder, name, hooks, openSignal),
  };
}

/** The file beside the entry, else in the root, where the files that all storage types share are. */
function fileOf({ files }: Repository, folder: string, name: string): HubFile | undefined {
  return files.get(folder + name) ?? files.get(name);
}

async function openFile(
  repository: Repository,
  folder: string,
  name: string,
  hooks: SourceHooks,
  signal: AbortSignal | undefined,
): Promise<ByteSource | undefined> {
  if (!isSafeFileName(name)) throw new UsageError(`"${name}" is no file name inside the model's folder`);
  const { place, endpoint, commit, access } = repository;
  const file = fileOf(repository, folder, name);
  if (!file) return undefined;
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  const opened = await openHttp(`${endpoint}/${place.repo}/resolve/${commit}/${path}`, hooks, signal, access);
  if (!("missing" in opened)) return file.hash === undefined ? opened : { ...opened, version: file.hash };
  throw new SourceError(
    `${place.repo}: "${file.path}" is listed but not given (${opened.missing}); ${access.remedy}`,
    answeredWith(place.repo, opened.status),
  );
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new UsageError(`Endpoint: expected an http or https address without a password, such as ${DEFAULT_ENDPOINT}`);
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

function accessOf({ repo, token }: HubPlace, endpoint: string): HttpAccess {
  const page = `accept its licence at ${endpoint}/${repo}`;
  if (token === undefined) {
    return { remedy: `the model may be gated, private or misspelt: ${page} and pass a token that may read it` };
  }
  // The platform's own message for a header that cannot be sent would quote it.
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError("Token: expected printable characters without spaces");
  const remedy = `the token does not open it, or the model is misspelt: ${page}, and see that the token may read it`;
  return { remedy, authorization: { origin: new URL(endpoint).origin, value: `Bearer ${token}` } };
}

async function listRepository(
  { repo, revision }: HubPlace,
  hubUrl: string,
  fetch: typeof globalThis.fetch,
): Promise<Pick<Repository, "commit" | "files">> {
  // Late, for most models come from elsewhere.
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  const wanted = revision === undefined ? {} : { revision };
  try {
    const { sha } = await modelInfo({ name: repo, hubUrl, fetch, additionalFields: ["sha"], ...wanted });
    if (typeof sha !== "string" || !/^[\w.-]{1,100}$/.test(sha))
      throw new SourceError(`${repo}: the hub names no commit`);
    const files = new Map<string, HubFile>();
    const listing = listFiles({ repo: { type: "model", name: repo }, hubUrl, fetch, revision: sha, recursive: true });
    for await (const { type, path, size, lfs, oid } of listing) {
      if (files.size >= MAX_FILES) throw new SourceError(`${repo}: the hub lists more than ${MAX_FILES} files`);
      const sound = typeof path === "string" && isSafeFileName(path) && Number.isSafeInteger(size) && size >= 0;
      if (type !== "file" || !sound) continue;
      const hash: unknown = lfs?.oid ?? oid;
      files.set(path, { path, bytes: size, hash: typeof hash === "string" ? hash : undefined });
    }
    return { commit: sha, files };
  } catch (error) {
    if (error instanceof OctavoError || (error instanceof DOMException && error.name === "AbortError")) throw error;
    throw new SourceError(`${repo}: the hub's answer is not understood (${String(error)})`, {
      details: { source: repo },
      cause: error,
    });
  }
}

/** `fetch` for the library: same-origin only, bounded, retried, with the token; its errors are this folder's. */
function hubFetch(
  endpoint: string,
  access: HttpAccess,
  hooks: SourceHooks,
  signal: AbortSignal | undefined,
): typeof globalThis.fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    // The next page of a listing is an address that the answer names.
    if (url.origin !== new URL(endpoint).origin)
      throw new SourceError(`${endpoint}: its listing leads to ${url.origin}`);
    const address = new HttpAddress(url.href, access);
    const headers = Object.fromEntries(new Headers(init?.headers));
    return withRetries(address.label, hooks, signal, () =>
      exchange({ address, hooks, signal }, headers, async (answer) => {
        const { status, headers: answered } = answer.response;
        if (status === 404) {
          const message = `${address.label}: the hub has no such model or revision`;
          throw new SourceError(message, answeredWith(address.label, status));
        }
        if (status !== 200) throw statusError(answer, 200);
        return new Response(await readWholeBody(answer, MAX_ANSWER_BYTES), { status, headers: answered });
      }),
    );
  };
}
