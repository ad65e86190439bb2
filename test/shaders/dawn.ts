/** Dawn in Node on its `null` backend: compiles WGSL as a browser would, runs nothing, needs no GPU. */
import { create } from "webgpu";

/** A device that only compiles, within WebGPU's default limits. `features` are taken as the null backend has them all. */
export async function compileDevice(features: GPUFeatureName[] = []): Promise<GPUDevice> {
  const adapter = await create(["backend=null"]).requestAdapter();
  if (!adapter) throw new Error("Dawn's null backend gave no adapter.");
  return adapter.requestDevice({ requiredFeatures: features });
}

/** Compile errors of `code`, as `line:column message`; empty when it compiles. */
export async function compileErrors(device: GPUDevice, code: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  await device.popErrorScope();
  const errors = messages.filter(({ type }) => type === "error");
  return errors.map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`);
}
