/** The doors of a page: `loadModel` and `inspectModel` start an engine in a worker of its own and ask it. */

import { Border } from "./border.ts";
import { askToPersist } from "./cached-models.ts";
import { type Model, openModel } from "./model.ts";
import { isRemote, wireSource } from "./model-source.ts";
import type { InspectOptions, LoadOptions, ModelInspection, ModelSource } from "./types.ts";
import { startWorker } from "./worker.ts";

/**
 * Opens a model in a worker of its own.
 *
 * @param source URL of a `.gguf` file or of a folder with `config.json`; the id of a model on a hub; `File`(s) the user
 * picked; files in memory.
 * @throws SourceError, FormatError, UnsupportedError, BudgetError or DeviceError, each saying what to do; `AbortError`
 * when `options.signal` fires. Whatever is thrown, the worker and every buffer are gone.
 */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  const { workerUrl, ...rest } = options;
  options.signal?.throwIfAborted();
  const where = wireSource(source, globalThis.document?.baseURI);
  const border = new Border(startWorker(workerUrl));
  if (isRemote(where) && rest.cache !== false) void askToPersist().catch(() => {}); // a wish, not a need
  return openModel(border, where, rest);
}

/**
 * Says what a model is and what it needs, from its headers: no weights are read, and no GPU is used.
 *
 * @param source as for `loadModel`.
 * @throws SourceError, FormatError, UsageError; `AbortError` when `options.signal` fires. What Octavo does not support is no
 * error here but listed in the answer.
 */
export async function inspectModel(source: ModelSource, options: InspectOptions = {}): Promise<ModelInspection> {
  const { signal, workerUrl, ...wire } = options;
  signal?.throwIfAborted();
  const where = wireSource(source, globalThis.document?.baseURI);
  const border = new Border(startWorker(workerUrl));
  try {
    return await border.only(signal, (host, callId) => host.inspect(where, wire, callId), 0); // it has nothing to put in order
  } finally {
    border.close();
  }
}
