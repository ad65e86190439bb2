/** Models for GPU tests, fetched from the test server and opened from memory. */
import type { FileSet } from "../../src/sources/byte-source.ts";
import { openFileSet } from "../../src/sources/file-set.ts";
import { memorySource } from "../../src/sources/memory.ts";

export const TALES_URL = "/demo/public/models/octavo-tales/octavo-tales-q8_0.gguf";

/** The golden results beside a folder's model. */
export interface MaiGolden {
  readonly tokens: number[];
  readonly last_logits: number[];
  readonly first_logits: number[];
  readonly greedy_next_16: number[];
  readonly routes_last_token: number[][];
}

export async function fetchJson<T>(path: string): Promise<T> {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return (await answer.json()) as T;
}

/** Files by address, each fetched whole when it is first opened: a paged run reads experts thousands of times. */
export function heldFiles(url: string): FileSet {
  const remote = openFileSet(url);
  const held = new Map<string, Promise<Uint8Array<ArrayBuffer> | undefined>>();
  const fetched = async (name: string) => {
    const source = await remote.open(name);
    return source?.read(0, await source.size());
  };
  return {
    label: remote.label,
    entry: remote.entry,
    open: async (name) => {
      const bytes = held.get(name) ?? fetched(name);
      held.set(name, bytes);
      const file = await bytes;
      return file && memorySource(name, file);
    },
  };
}

// Kept for every test file of the page; the families' files are not, which are too many.
const models = new Map<string, FileSet>();

function keptFiles(url: string): FileSet {
  const files = models.get(url) ?? heldFiles(url);
  models.set(url, files);
  return files;
}

/** A model of test/fixtures/mai by its folder's name. */
export function maiFolder(name: string): FileSet {
  return keptFiles(`${location.origin}/test/fixtures/mai/${name}/`);
}

export function talesFile(): FileSet {
  return keptFiles(`${location.origin}${TALES_URL}`);
}

/** A model that test/setup-gguf.ts makes, by its name in test/fixtures/gguf/models.ts. */
export function goldenFile(name: string): FileSet {
  return heldFiles(`${location.origin}/node_modules/.cache/octavo-fixtures/${name}.gguf`);
}
