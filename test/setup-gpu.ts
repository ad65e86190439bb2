/** Runs before every GPU test file, in the browser: no adapter is a failure, never a skip. */
import { beforeAll } from "vitest";

/** What the run's report says about the adapter; travels to Node as the file's `meta`. */
export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly features: readonly string[];
  readonly isFallback: boolean;
}

declare module "vitest" {
  interface TaskMeta {
    gpuAdapter?: AdapterReport;
  }
}

/** The adapter that the tests run on. Throws where WebGPU or an adapter is missing. */
export async function requireGpu(): Promise<GPUAdapter> {
  if (!navigator.gpu)
    throw new Error("navigator.gpu is missing: start Chromium with the flags of scripts/chromium.mjs.");
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("requestAdapter() gave none: neither a GPU nor the software adapter is available.");
  return adapter;
}

// The first argument is vitest's fixtures, which must be destructured even when none is used.
// biome-ignore lint/correctness/noEmptyPattern: see above
beforeAll(async ({}, suite) => {
  const { info, features } = await requireGpu();
  suite.file.meta.gpuAdapter = {
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    features: [...features].sort(),
    isFallback: info.isFallbackAdapter,
  };
});
