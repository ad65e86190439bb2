/** What a server tells of a file without sending it: asked with a range of one byte, because many refuse HEAD. */
import { SourceError } from "../errors.ts";
import type { FileStat } from "./byte-source.ts";
import { parseContentRange } from "./content-range.ts";
import { HttpAddress } from "./http-address.ts";
import { type Answer, exchange, rangeHeader, statusError } from "./http-answer.ts";
import { withRetries } from "./retry.ts";
import type { SourceHooks } from "./source-hooks.ts";

/** A Git commit in the address, as on model hubs: what lies behind it never changes. */
const COMMIT_ADDRESS = /\/(?:resolve|raw)\/[0-9a-f]{40}\//;

/** Whether the address itself says which version it is. */
export function isImmutable(url: string): boolean {
  return COMMIT_ADDRESS.test(url);
}

/** ETag or date, with the size; `undefined` where CORS hides both, or the server sends neither. */
export function versionOf(response: Response, total: number): string | undefined {
  const mark = response.headers.get("etag") ?? response.headers.get("last-modified");
  return mark === null ? undefined : `${mark} ${total}`;
}

/**
 * Size and version of the file at `url`, `undefined` when the server has none.
 * @throws SourceError when there is no usable answer at the first try; `AbortError`.
 */
export function statHttp(url: string, hooks: SourceHooks, signal?: AbortSignal): Promise<FileStat | undefined> {
  const address = new HttpAddress(url);
  return withRetries(address.label, { ...hooks, retryDelaysMs: [] }, signal, () =>
    exchange({ address, hooks, signal }, rangeHeader(0, 1), async (answer) => statOf(answer)),
  );
}

function statOf(answer: Answer): FileStat | undefined {
  const { response, label } = answer;
  // Status 403 does not say that the file is gone: it also comes of a licence, a rate limit, a signature out of time.
  if (response.status === 404) return undefined;
  if (response.headers.get("content-type")?.startsWith("text/html")) return undefined;
  if (!response.ok) throw statusError(answer, 206);
  const total = parseContentRange(response.headers.get("content-range"))?.total;
  const declared = response.status === 200 ? response.headers.get("content-length") : null;
  const size = total ?? Number(declared ?? Number.NaN);
  if (Number.isSafeInteger(size)) return { size, version: versionOf(response, size) };
  throw new SourceError(`${label}: expected the size of the file, got status ${response.status} without it`, {
    details: { source: label, status: response.status },
  });
}
