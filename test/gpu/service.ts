/** A file server inside the page, for what a real one cannot be told to do at a given moment. Stands in for `fetch`. */
import { delay } from "../../src/util/abort.ts";

/** One range request. `number` counts from 1 over the life of the service. */
export interface ServiceRequest {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly number: number;
}

/** What becomes of a request: a status, or a body that ends early; `undefined` answers it. */
export type Mishap = number | "dies" | undefined;

export class Service {
  readonly url = "http://models.test/folder/";
  readonly requests: ServiceRequest[] = [];
  /** Bytes of the bodies sent. */
  servedBytes = 0;
  /** Decides what goes wrong. */
  mishap: (request: ServiceRequest) => Mishap = () => undefined;
  latencyMs: (request: ServiceRequest) => number = () => 0;
  ignoresRange = false;
  readonly #files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

  constructor(files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>) {
    this.#files = files;
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const name = String(input).slice(this.url.length);
    const file = this.#files[name];
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
    const start = Number(first);
    const end = Math.min(Number(last), (file?.length ?? 0) - 1);
    const request = { name, start, end, number: this.requests.length + 1 };
    this.requests.push(request);
    const signal = init?.signal ?? undefined;
    const wait = this.latencyMs(request);
    if (wait > 0) await delay(wait, signal);
    signal?.throwIfAborted();
    const mishap = this.mishap(request);
    if (typeof mishap === "number") return new Response("no", { status: mishap });
    if (!file) return new Response("no", { status: 404 });
    if (this.ignoresRange) return this.#answer(file, file.length, 200, {});
    const sent = mishap === "dies" ? Math.floor((end - start) / 2) : end - start + 1;
    const contentRange = { "content-range": `bytes ${start}-${end}/${file.length}` };
    return this.#answer(file.slice(start, start + sent), end - start + 1, 206, contentRange);
  };

  #answer(body: Uint8Array<ArrayBuffer>, length: number, status: number, headers: Record<string, string>): Response {
    this.servedBytes += body.length;
    return new Response(body, { status, headers: { ...headers, "content-length": String(length) } });
  }
}

/** The bytes of a file of the repository, from the test server. */
export async function fetchBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** A model of test/fixtures/mai by its folder's name, as bytes by file name. */
export async function fetchFolder(name: string): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const folder = `/test/fixtures/mai/${name}`;
  const names = ["config.json", "model.safetensors"];
  const bytes = await Promise.all(names.map((file) => fetchBytes(`${folder}/${file}`)));
  return Object.fromEntries(names.map((file, i) => [file, bytes[i] ?? new Uint8Array(0)]));
}
