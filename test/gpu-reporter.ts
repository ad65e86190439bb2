/** Ends a run that had GPU tests with the adapter they ran on and how many there were. */
import type { Reporter, TestModule } from "vitest/node";
import type { AdapterReport } from "./setup-gpu.ts";

function describeAdapter(adapter: AdapterReport): string {
  const name = [adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(" / ");
  return `${name || "unnamed"}${adapter.isFallback ? " (software)" : ""}; features: ${adapter.features.join(", ")}`;
}

export default class GpuReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const gpuModules = modules.filter((module) => module.project.name.startsWith("gpu"));
    if (gpuModules.length === 0) return;
    const ran = gpuModules
      .flatMap((module) => [...module.children.allTests()])
      .filter((test) => test.result().state !== "skipped");
    const adapters = gpuModules.map((module) => module.meta().gpuAdapter).filter((adapter) => adapter !== undefined);
    for (const adapter of new Set(adapters.map(describeAdapter))) console.log(`GPU adapter: ${adapter}`);
    console.log(`GPU tests run: ${ran.length} in ${gpuModules.length} files`);
  }
}
