/** The engine's worker: exposes an EngineHost to the page, nothing else. */
import { expose } from "comlink";
import { EngineHost } from "./engine-host.ts";

expose(new EngineHost(navigator.gpu));
