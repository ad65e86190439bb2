/**
 * Set on a worker's globals before the engine starts there: fetches that hang, and devices that can be destroyed, on the
 * word of a test at the other end of a channel. The engine's own thread reads, for want of nested workers.
 */
export const MISHAPS = "octavo-mishaps";
export type Mishap = "hang" | "flow" | "break";
/** What the worker answers when a mishap holds: on a fast device a read can end before the word has come. */
export const HOLDS = "holds";

if (typeof document === "undefined") {
  let hanging = location.hash === "#hang";
  let device: GPUDevice | undefined;
  const realFetch = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    if (!hanging) return realFetch(input, init);
    return new Promise((_, reject) => {
      const { signal } = init ?? {};
      const stop = () => reject(signal?.reason);
      if (signal?.aborted) stop();
      signal?.addEventListener("abort", stop);
    });
  };
  Object.assign(globalThis, { Worker: undefined });
  const requestAdapter = navigator.gpu.requestAdapter.bind(navigator.gpu);
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = await requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (wanted) => {
      device = await requestDevice(wanted);
      return device;
    };
    return adapter;
  };
  const channel = new BroadcastChannel(MISHAPS);
  channel.onmessage = ({ data }: MessageEvent<Mishap>) => {
    if (data === "break") device?.destroy();
    else hanging = data === "hang";
    channel.postMessage(HOLDS);
  };
}
