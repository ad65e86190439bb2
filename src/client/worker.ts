/** Starts the engine worker, which lies beside the built module; a caller may name another copy of it. */
import { UsageError } from "../errors.ts";

export function startWorker(url: string | URL | undefined): Worker {
  if (typeof Worker === "undefined") {
    throw new UsageError("loadModel needs a browser page: this place has no Worker.");
  }
  if (url !== undefined) return new Worker(url, { type: "module", name: "octavo" });
  return new Worker(new URL("../../workers/engine.worker.ts", import.meta.url), { type: "module", name: "octavo" });
}
