/** The engine's worker: exposes an EngineHost to the page, nothing else. */
import { expose } from "comlink";
import { carryErrorsWhole } from "../src/util/error-border.ts";
import { EngineHost } from "./engine-host.ts";

/** Parts of the worker's navigator that not every browser, nor TypeScript, has. */
const { deviceMemory, connection } = navigator as { deviceMemory?: number; connection?: { saveData?: boolean } };

const startIoWorker = (): Worker =>
  new Worker(new URL("./io.worker.ts", import.meta.url), { type: "module", name: "octavo-io" });

const startGrammarWorker = (): Worker =>
  new Worker(new URL("./grammar.worker.ts", import.meta.url), { type: "module", name: "octavo-grammar" });

carryErrorsWhole();
expose(
  new EngineHost({
    gpu: navigator.gpu,
    storage: navigator.storage,
    locks: navigator.locks,
    saveData: connection?.saveData,
    startIoWorker: typeof Worker === "undefined" ? undefined : startIoWorker,
    startGrammarWorker: typeof Worker === "undefined" ? undefined : startGrammarWorker,
    deviceMemory,
    isOffline: () => !navigator.onLine,
  }),
);
