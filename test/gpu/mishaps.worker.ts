/** The engine's worker with mishaps. */
import "./mishaps.ts";
import "../../workers/engine.worker.ts";
