/** The door to `canRun`: a worker of its own for as long as the answer takes. */
import { Border } from "./border.ts";
import { wireSource } from "./model-source.ts";
import { askCanRun } from "./run-trial.ts";
import type { ModelSource, RunAnswer, RunOptions } from "./types.ts";
import { startWorker } from "./worker.ts";

/**
 * Says whether and how a model runs on this device, before it is downloaded: verdict, budget, expected speed with what it
 * assumes, bytes before the first token, room on disk. Reads headers, tries the GPU for about half a second the first time
 * and, for addresses, the link with 244 KiB (`options.link: false` leaves that out). Takes GPU memory of up to 80 MiB
 * meanwhile.
 *
 * @param source as for `loadModel`.
 * @returns plain data. A model that is not supported, a device too small, and a browser without WebGPU are answers
 *   ("does-not-run", with the reasons), not errors.
 * @throws SourceError, FormatError, UsageError, DeviceError when the device is lost meanwhile; `AbortError` when
 *   `options.signal` fires.
 */
export async function canRun(source: ModelSource, options: RunOptions = {}): Promise<RunAnswer> {
  const { workerUrl, ...rest } = options;
  options.signal?.throwIfAborted();
  const where = wireSource(source, globalThis.document?.baseURI);
  return askCanRun(new Border(startWorker(workerUrl)), where, rest);
}
