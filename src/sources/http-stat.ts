/** What a server tells of a file without sending it: asked with a range of one byte, because many refuse HEAD. */
import { SourceError } from "../errors.ts";
import type { FileStat } from "./byte-source.ts";
import { parseContentRange } from "./content-range.ts";
import { request, statusError } from "./http-answer.ts";
import { withRetries } from "./retry.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** A Git commit in the address, as on model hubs: what lies behind it never changes. */
const COMMIT_ADDRESS = /\/(?:resolve|raw)\/[0-9a-f]{40}\//;

/** Whether the address itself says which version it is. */
export function isImmutable(url: string): boolean {
  return COMMIT_ADDRESS.test(url);
}

/** ETag or else modification date; `undefined` when the server sends neither or CORS hides them. */
export function versionOf(response: Response): string | undefined {
  return response.headers.get("etag") ?? response.headers.get("last-modified") ?? undefined;
}

/**
 * Size and version of the file at `url`, `undefined` when the server has none.
 * @throws SourceError when there is no usable answer at the first try; `AbortError`.
 */
export function statHttp(url: string, hooks: SourceHooks, signal?: AbortSignal): Promise<FileStat | undefined> {
  return withRetries(url, { ...hooks, retryDelaysMs: [] }, signal, async () => {
    const response = await request(url, 0, 1, hooks, signal);
    await response.body?.cancel();
    if (response.status === 404 || response.status === 403) return undefined;
    if (response.headers.get("content-type")?.startsWith("text/html")) return undefined;
    const version = versionOf(response);
    const total = parseContentRange(response.headers.get("content-range"))?.total;
    if (response.status === 206 && total !== undefined) return { size: total, version };
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    if (response.status === 200 && Number.isSafeInteger(length)) return { size: length, version };
    if (!response.ok) throw statusError(url, response);
    throw new SourceError(`${url}: expected the size of the file, got status ${response.status} without it`);
  });
}
