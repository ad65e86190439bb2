/** The I/O worker: exposes an IoHost to the engine's worker, nothing else. */
import { expose } from "comlink";
import { carryErrorsWhole } from "../src/util/error-border.ts";
import { IoHost } from "./io-host.ts";

const isOffline = (): boolean => !navigator.onLine;

carryErrorsWhole();
expose(new IoHost({ storage: navigator.storage, locks: navigator.locks, isOffline }, true));
