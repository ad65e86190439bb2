/** The doors in Node: an engine in this thread, and paths of this machine beside addresses. */
import { setMaxListeners } from "node:events";
import { existsSync } from "node:fs";
import { totalmem } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { EngineHost } from "../../workers/engine-host.ts";
import { Border } from "../client/border.ts";
import { type Model, openModel } from "../client/model.ts";
import { parseHubId, type WireSource, wireSource } from "../client/model-source.ts";
import { askCanRun } from "../client/run-trial.ts";
import type { ModelInspection, ModelSource, RunAnswer } from "../client/types.ts";
import { DeviceError } from "../errors.ts";
import { openSource } from "../sources/open-source.ts";
import type { ModelTokenizer } from "../tokenizer/load.ts";
import { openTokenizer } from "../tokenizer/open.ts";
import { localFileSet } from "./local-files.ts";
import type { NodeInspectOptions, NodeLoadOptions, NodeRunOptions, WebGpu } from "./options.ts";

/** What browsers report at most, so that a machine with much memory does not give a quarter of all of it away. */
const MOST_REPORTED_GIB = 8;

const NO_WEBGPU =
  'There is no WebGPU here. Install the webgpu package and give its GPU: import { create } from "webgpu"';

/**
 * Opens a model in this thread.
 *
 * @param source a `.gguf` file or a folder on this machine, as a path or a `file:` URL; or what a page may give: the URL of
 * one, the id of a model on a hub, files in memory. A text that names an existing path is that path.
 * @throws SourceError, FormatError, UnsupportedError, BudgetError or DeviceError, each saying what to do; `AbortError`
 * when `options.signal` fires. Whatever is thrown, every buffer is gone.
 */
export async function loadModel(source: ModelSource, options: NodeLoadOptions = {}): Promise<Model> {
  const { gpu = hostGpu(), ...rest } = options;
  options.signal?.throwIfAborted();
  const where = nodeSource(source);
  if (!gpu) {
    throw new DeviceError(`${NO_WEBGPU}, then loadModel(source, { gpu: create([]) }).`, { code: "no-webgpu" });
  }
  return openModel(new Border(engineHere(gpu)), where, rest);
}

/**
 * Says what a model is and what it needs, from its headers: no weights are read, and no GPU is used.
 *
 * @param source as for `loadModel`.
 * @throws SourceError, FormatError, UsageError; `AbortError` when `options.signal` fires. What Octavo does not support is no
 * error here but listed in the answer.
 */
export async function inspectModel(source: ModelSource, options: NodeInspectOptions = {}): Promise<ModelInspection> {
  const { signal, ...wire } = options;
  const where = nodeSource(source);
  return new Border(engineHere(undefined)).call(signal, (host, callId) => host.inspect(where, wire, callId));
}

/**
 * Says whether and how a model runs here, before it is downloaded, as on a page: verdict, budget, expected speed with what
 * it assumes, bytes before the first token. `disk` is `null`, since nothing is cached here.
 *
 * @param source as for `loadModel`.
 * @returns plain data. A model that is not supported, a device too small, and no WebGPU are answers ("does-not-run", with
 *   the reasons), not errors.
 * @throws SourceError, FormatError, UsageError, DeviceError when the device is lost meanwhile; `AbortError` when
 *   `options.signal` fires.
 */
export async function canRun(source: ModelSource, options: NodeRunOptions = {}): Promise<RunAnswer> {
  const { gpu = hostGpu(), ...rest } = options;
  options.signal?.throwIfAborted();
  const answer = await askCanRun(new Border(engineHere(gpu)), nodeSource(source), rest);
  const text = `${NO_WEBGPU}, then canRun(source, { gpu: create([]) }).`;
  const reasons = answer.reasons.map((reason) => (reason.code === "no-webgpu" ? { ...reason, text } : reason));
  return { ...answer, reasons };
}

/**
 * Opens a tokenizer by itself. Of a GGUF file only the header is read.
 *
 * @param source as for `loadModel`, or a `tokenizer.json`.
 * @throws SourceError, FormatError, `AbortError`; UnsupportedError for a vocabulary that cannot be read, or none.
 */
export async function loadTokenizer(
  source: ModelSource,
  options: { readonly signal?: AbortSignal } = {},
): Promise<ModelTokenizer> {
  return openTokenizer(nodeSource(source), options.signal, openAnywhere);
}

/** Paths become `file:` addresses; a text that is none of path, address and hub id is meant as a path. */
function nodeSource(source: ModelSource): WireSource {
  if (typeof source !== "string" || /^(?:https?|file):/i.test(source)) return wireSource(source);
  const path = resolve(source);
  if (!existsSync(path) && parseHubId(source)) return wireSource(source);
  return pathToFileURL(path).href;
}

const openAnywhere: typeof openSource = async (source, hooks, signal) => {
  if (typeof source !== "string" || !/^file:/i.test(source)) return openSource(source, hooks, signal);
  return localFileSet(fileURLToPath(source), hooks);
};

function engineHere(gpu: WebGpu | undefined) {
  const host = new EngineHost({
    gpu: gpu as GPU | undefined,
    openSource: openAnywhere,
    holdHere: async (vocabulary) => {
      const { GrammarEngine } = await import("../grammar/grammar-engine.ts"); // a megabyte, for who wants it
      const engine = await GrammarEngine.create(vocabulary);
      return (constraint) => engine.hold(constraint);
    },
    expectListeners: (signal) => setMaxListeners(0, signal),
    storage: null,
    deviceMemory: Math.min(MOST_REPORTED_GIB, totalmem() / 2 ** 30),
  });
  return { host, onStop: () => {}, end: () => {} };
}

function hostGpu(): WebGpu | undefined {
  return globalThis.navigator?.gpu;
}
