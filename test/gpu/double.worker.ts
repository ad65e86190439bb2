import { double } from "./double.ts";

addEventListener("message", async ({ data }: MessageEvent<Float32Array<ArrayBuffer>>) => {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("no adapter in the worker");
  postMessage(await double(adapter, data));
});
