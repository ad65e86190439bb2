/** The border to the engine worker as the parts of a model see it. */
import type { EngineHostApi } from "./protocol.ts";

export interface Caller {
  readonly closed: boolean;
  call<T>(signal: AbortSignal | undefined, run: (host: EngineHostApi, callId: number) => Promise<T>): Promise<T>;
}
