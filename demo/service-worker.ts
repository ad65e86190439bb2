/**
 * Lets the page start without a network: the files of one build, kept together under that build's name. A page is asked of
 * the network first, so a new build is seen at once; what a build names by its hash is taken from here. Models are none of
 * its business: the engine keeps those itself.
 */

/** Written here by the build: its files, and a digest of them all. */
const FILES: readonly string[] = JSON.parse("__OCTAVO_FILES__");
const BUILD = "__OCTAVO_BUILD__";

const PREFIX = "octavo-page-";
const CACHE = PREFIX + BUILD;

interface LifeEvent extends Event {
  waitUntil(done: Promise<unknown>): void;
}

interface RequestEvent extends LifeEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

interface WorkerScope {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  addEventListener(type: "install" | "activate", listener: (event: LifeEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: RequestEvent) => void): void;
}

const scope = globalThis as unknown as WorkerScope;
const home = new URL("./", scope.location.href).href;
const known = new Set(FILES.map((name) => home + name));

scope.addEventListener("install", (event) => event.waitUntil(keepAll()));
scope.addEventListener("activate", (event) => event.waitUntil(takeOver()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const address = origin + pathname;
  if (request.method !== "GET" || request.headers.has("range")) return;
  const file = address === home ? `${home}index.html` : address;
  if (!known.has(file)) return;
  event.respondWith(request.mode === "navigate" ? pageOf(request, file) : fileOf(request, file));
});

async function keepAll(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Past the HTTP cache, which may still hold another build's page.
  await cache.addAll([...known].map((file) => new Request(file, { cache: "reload" })));
}

async function takeOver(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(
    names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)),
  );
  await scope.clients.claim();
}

async function pageOf(request: Request, file: string): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await (await caches.open(CACHE)).match(file);
    if (kept) return kept;
    throw error;
  }
}

async function fileOf(request: Request, file: string): Promise<Response> {
  return (await (await caches.open(CACHE)).match(file)) ?? fetch(request);
}
