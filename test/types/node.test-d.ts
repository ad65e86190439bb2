/** The doors in Node have the types of a page's: held by the compiler alone. */
import type * as page from "../../src/index.ts";
import type * as node from "../../src/node.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function holds<_Claim extends true>(): void {}

holds<Same<ReturnType<typeof node.canRun>, ReturnType<typeof page.canRun>>>();
holds<Same<ReturnType<typeof node.loadModel>, ReturnType<typeof page.loadModel>>>();
holds<Same<ReturnType<typeof node.inspectModel>, ReturnType<typeof page.inspectModel>>>();
holds<Same<Parameters<typeof node.canRun>[0], Parameters<typeof page.canRun>[0]>>();
holds<Same<Omit<node.NodeRunOptions, "gpu">, Omit<page.RunOptions, "workerUrl">>>();

declare const run: typeof node.canRun;
const gpu: node.WebGpu = { requestAdapter: async () => null };
void run("models/tales.gguf", { gpu, promptTokens: 10, link: false, remeasure: true });
// @ts-expect-error there is no worker
void run("models/tales.gguf", { workerUrl: "engine.worker.js" });
