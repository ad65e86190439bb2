/**
 * Goes before the built I/O worker under the paging bench: what is asked of an address with `?link=MS,BYTES_PER_SECOND` is
 * answered from memory through a link inside the worker, so that its latency and bandwidth are measured and not what a
 * server and the browser's network service take of the same processor. The file is read once, by the first request.
 */
import { LINK_PIECE_BYTES, Link } from "../test/virtual/link.ts";

const overNetwork = globalThis.fetch;
const files = new Map<string, Promise<ArrayBuffer | undefined>>();
const links = new Map<string, Link>();

function known<V>(map: Map<string, V>, key: string, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

function linkOf(spelled: string): Link {
  const [latencyMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY] = spelled.split(",").map(Number);
  return new Link({ latencyMs, bytesPerSecond });
}

async function fileAt(url: URL): Promise<ArrayBuffer | undefined> {
  const response = await overNetwork(url);
  return response.ok ? response.arrayBuffer() : undefined;
}

async function throughLink(url: URL, link: Link, init: RequestInit | undefined): Promise<Response> {
  const file = await known(files, url.href, () => fileAt(url));
  if (!file) return new Response(null, { status: 404 });
  const [, from = "0", to] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
  const signal = init?.signal ?? undefined;
  const bytes = file.slice(Number(from), Number(to ?? file.byteLength) + 1);
  await link.request(signal);
  for (let sent = 0; sent < bytes.byteLength; sent += LINK_PIECE_BYTES) {
    await link.send(Math.min(LINK_PIECE_BYTES, bytes.byteLength - sent), signal);
  }
  const headers = {
    "content-range": `bytes ${from}-${Number(from) + bytes.byteLength - 1}/${file.byteLength}`,
    "content-length": `${bytes.byteLength}`,
    etag: '"bench"',
  };
  return Object.defineProperty(new Response(bytes, { status: 206, headers }), "url", { value: url.href });
}

globalThis.fetch = (input, init) => {
  const url = new URL(input instanceof Request ? input.url : input, location.href);
  const spelled = url.searchParams.get("link");
  if (spelled === null) return overNetwork(input, init);
  const link = known(links, spelled, () => linkOf(spelled));
  return throughLink(url, link, init);
};
