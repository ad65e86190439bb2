/** The I/O worker: exposes an IoHost to the engine's worker, nothing else. */
import { expose } from "comlink";
import { IoHost } from "./io-host.ts";

expose(new IoHost({ storage: navigator.storage, locks: navigator.locks }, true));
