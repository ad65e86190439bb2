/** What the doors in Node take. No type of WebGPU is named: the caller's compiler need not know any. */
import type { InspectOptions, LoadOptions, RunOptions } from "../client/types.ts";

/** A WebGPU implementation: what `create([])` of the `webgpu` package gives, or `navigator.gpu` where there is one. */
export interface WebGpu {
  /** An adapter, or `null` where there is none. */
  requestAdapter(options?: object): Promise<object | null>;
}

/** As on a page, but for the worker and the disk cache, which Node has not. */
export interface NodeLoadOptions
  extends Omit<LoadOptions, "workerUrl" | "cache" | "diskQuotaBytes" | "backgroundFill"> {
  /** The WebGPU to run on. Default: `navigator.gpu`, which plain Node does not have. */
  readonly gpu?: WebGpu;
}

/** As on a page, but for the worker. */
export type NodeInspectOptions = Omit<InspectOptions, "workerUrl">;

/** As on a page, but for the worker. */
export interface NodeRunOptions extends Omit<RunOptions, "workerUrl"> {
  /** As for `loadModel`. */
  readonly gpu?: WebGpu;
}
