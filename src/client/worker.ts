/** Starts the engine worker, which lies beside the built module; a caller may name another copy of it. */
import { releaseProxy, wrap } from "comlink";
import { UsageError } from "../errors.ts";
import { carryErrorsWhole } from "../util/error-border.ts";
import type { EngineHostApi } from "./protocol.ts";

/** An engine at work, in a worker or in this thread. */
export interface EngineLink {
  readonly host: EngineHostApi;
  /** Calls `listener` with the reason when the engine dies by itself. */
  onStop(listener: (why: string) => void): void;
  /** Lets go of it; nothing answers afterwards. */
  end(): void;
}

/** @throws UsageError where there are no workers. */
export function startWorker(url: string | URL | undefined): EngineLink {
  const worker = newWorker(url);
  carryErrorsWhole();
  const host = wrap<EngineHostApi>(worker);
  return {
    host,
    onStop: (listener) =>
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        listener(event.message || "its script did not load");
      }),
    end: () => {
      host[releaseProxy]();
      worker.terminate();
    },
  };
}

function newWorker(url: string | URL | undefined): Worker {
  if (typeof Worker === "undefined") {
    throw new UsageError(
      "loadModel needs a browser page: this place has no Worker. In Node, import it from octavo/node.",
    );
  }
  if (url !== undefined) return new Worker(url, { type: "module", name: "octavo" });
  return new Worker(new URL("../../workers/engine.worker.ts", import.meta.url), { type: "module", name: "octavo" });
}
