/**
 * Where a file is on the network: the address that was asked for, and the one that a redirect ended at. Hubs redirect to
 * signed addresses that expire. `fetch` hides the steps between but tells the end (`Response.url`), so later ranges go
 * there at once and save a round trip; when that address refuses, the first one is asked again.
 */

/** What a caller may know beside the address. The value is a secret: it goes into a header and nowhere else. */
export interface HttpAccess {
  /** `Authorization`, sent to this origin only; `fetch` itself drops it when a redirect leaves the origin. */
  readonly authorization?: { readonly origin: string; readonly value: string } | undefined;
  /** What a message adds to status 401 and 403. */
  readonly remedy?: string | undefined;
}

export class HttpAddress {
  /** As the caller gave it. */
  readonly url: string;
  /** What messages call it: without the query, which may hold a signature or a token. */
  readonly label: string;
  readonly access: HttpAccess;
  /** When a byte of any answer came last, by `performance.now()`. */
  lastByteAt = 0;
  #final: string | undefined;

  constructor(url: string, access: HttpAccess = {}) {
    this.url = url;
    this.label = withoutQuery(new URL(url));
    this.access = access;
  }

  /** What to ask now. */
  get target(): string {
    return this.#final ?? this.url;
  }

  /** Remembers where a good answer came from. */
  learn(response: Response): void {
    if (response.redirected && response.status === 206 && response.url !== "") this.#final = response.url;
  }

  /** Goes back to the first address, unless `target` is that or no longer the one in use. @returns whether it did. */
  forget(target: string): boolean {
    if (target !== this.#final) return false;
    this.#final = undefined;
    return true;
  }

  /** Headers of a request to `target`. */
  headersFor(target: string): Readonly<Record<string, string>> {
    const { authorization } = this.access;
    const trusted = authorization && new URL(target).origin === authorization.origin;
    return trusted ? { Authorization: authorization.value } : {};
  }
}

/** Origin and path: what a message may show of an address. */
export function withoutQuery(url: URL): string {
  return url.origin === "null" ? url.href : url.origin + url.pathname;
}
