/**
 * The public surface in Node: the engine runs in the caller's thread on a WebGPU that the caller brings. Re-exports only.
 * @module octavo/node
 */
export * from "./common.ts";
export { canRun, inspectModel, loadModel, loadTokenizer } from "./node/load-model.ts";
export type { NodeInspectOptions, NodeLoadOptions, NodeRunOptions, WebGpu } from "./node/options.ts";
