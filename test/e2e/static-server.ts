/** A plain static server with byte ranges and no special headers, as any host gives; remembers what was asked of it. */
import { createReadStream, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

/** One answered request. */
export interface ServedRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly status: number;
  readonly bytes: number;
}

export interface StaticServer {
  /** Origin with a trailing slash. */
  readonly url: string;
  readonly requests: ServedRequest[];
  close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** URL prefix → folder; the longest prefix that fits wins. A lone folder is served at `/`. */
export type Routes = string | Readonly<Record<string, string>>;

function findFile(routes: Readonly<Record<string, string>>, path: string): string | undefined {
  const fitting = Object.keys(routes).filter((prefix) => path.startsWith(prefix));
  const prefix = fitting.sort((a, b) => b.length - a.length)[0];
  const folder = prefix === undefined ? undefined : routes[prefix];
  if (prefix === undefined || folder === undefined) return undefined;
  // Normalised from the root, so that `..` cannot climb out of the folder.
  const rest = normalize(`/${path.slice(prefix.length)}`);
  const file = join(folder, rest.endsWith("/") ? `${rest}index.html` : rest);
  return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : undefined;
}

/** First and last byte of a `bytes=a-b`, `bytes=a-` or `bytes=-n` header; `null` when it lies outside the file. */
function parseRange(header: string, size: number): [first: number, last: number] | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header);
  if (!match || (match[1] === "" && match[2] === "")) return null;
  const first = match[1] === "" ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const last = match[1] === "" || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  return first <= last && first < size ? [first, last] : null;
}

function answer(
  routes: Readonly<Record<string, string>>,
  request: IncomingMessage,
  response: ServerResponse,
): ServedRequest {
  const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
  const range = request.headers.range;
  const end = (status: number, headers: Record<string, string | number> = {}): ServedRequest => {
    response.writeHead(status, headers).end();
    return { path, range, status, bytes: 0 };
  };
  const file = findFile(routes, path);
  if (!file) return end(404);
  const { size, mtime } = statSync(file);
  const span = range === undefined ? ([0, size - 1] as const) : parseRange(range, size);
  if (!span) return end(416, { "Content-Range": `bytes */${size}` });
  const [first, last] = span;
  const bytes = last - first + 1;
  const status = range === undefined ? 200 : 206;
  response.writeHead(status, {
    "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
    "Content-Length": bytes,
    "Accept-Ranges": "bytes",
    "Last-Modified": mtime.toUTCString(),
    ...(status === 206 ? { "Content-Range": `bytes ${first}-${last}/${size}` } : {}),
  });
  if (bytes === 0 || request.method === "HEAD") response.end();
  else
    createReadStream(file, { start: first, end: last })
      .on("error", () => response.destroy())
      .pipe(response);
  return { path, range, status, bytes };
}

/** Serves `routes` on a free port of this machine. */
export async function servePath(routes: Routes): Promise<StaticServer> {
  const table = typeof routes === "string" ? { "/": routes } : routes;
  const requests: ServedRequest[] = [];
  const server = createServer((request, response) => {
    requests.push(answer(table, request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://127.0.0.1:${port}/`, requests, close };
}
