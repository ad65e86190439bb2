/**
 * What is missing when there is no WebGPU, and what to do about it. Three cases are told apart: a page that is not in
 * a secure context, a browser without WebGPU (or with it turned off), and a browser that finds no adapter.
 */
export interface Obstacle {
  readonly title: string;
  readonly missing: string;
  readonly remedies: readonly string[];
}

/** `null` when WebGPU is there and has an adapter. */
export async function findObstacle(): Promise<Obstacle | null> {
  const gpu = (navigator as { gpu?: GPU }).gpu;
  if (!gpu) return window.isSecureContext ? NO_WEBGPU : NOT_SECURE;
  const adapter = await gpu.requestAdapter().catch(() => null);
  return adapter ? null : NO_ADAPTER;
}

const NOT_SECURE: Obstacle = {
  title: "This page cannot reach WebGPU from here",
  missing:
    "navigator.gpu is missing because the page is not in a secure context: browsers offer WebGPU only to pages " +
    "served over https, or from localhost.",
  remedies: [
    "Open the same page by its https:// address.",
    "On your own machine, open it as http://localhost instead of by an IP address or a file path.",
  ],
};

const NO_WEBGPU: Obstacle = {
  title: "This browser has no WebGPU",
  missing:
    "navigator.gpu is missing: Octavo computes on the GPU through WebGPU, and this browser does not have it, or has " +
    "it turned off.",
  remedies: [
    "Chrome or Edge: version 113 or newer on Windows, macOS and ChromeOS; version 121 or newer on Android.",
    "Safari: version 26 or newer, on macOS, iPadOS and iOS.",
    "Firefox: version 141 or newer on Windows, 145 or newer on Macs with Apple silicon.",
    "Chrome on Linux: where it is still off, turn on chrome://flags/#enable-unsafe-webgpu and restart the browser.",
  ],
};

const NO_ADAPTER: Obstacle = {
  title: "WebGPU is here, but no graphics adapter is",
  missing:
    "navigator.gpu is present, but requestAdapter() found nothing to run on: the GPU is blocked, its driver is too " +
    "old, or hardware acceleration is off.",
  remedies: [
    "Turn on hardware (graphics) acceleration in the browser's system settings, and restart it.",
    "Update the graphics driver; chrome://gpu or about:support says what the browser thinks of it.",
    "On Linux, or on a machine without a GPU, Chrome may need chrome://flags/#enable-unsafe-webgpu.",
    "Close other pages that use the GPU heavily, then load this page again.",
  ],
};
